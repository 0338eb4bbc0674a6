/**
 * Is the torture run blind? Takes steps of the protocol out of a copy of the source, one at a time, and tortures each:
 * `node test/torture/mutants.ts`. What only a power cut shows is not among them: a kill costs nothing that the kernel has.
 */
import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Mutant, mutants } from '../model/mutants.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Kills after which a mutant counts as overlooked. */
const POINTS = process.env.TORTURE_POINTS ?? '600'

const NAMES = [
  'sync that deletes the source before it has recorded the copy',
  'release that is told before the source is deleted',
  'download without a comparison with the digest of the store',
  'record that leaves a withdrawn copy where it lies',
  'release without reading the file again',
  'release without a condition where DELETE honours one',
  'recovery that leaves what is not whole where it lies',
  'publish with the intent committed after the links',
]

async function torture({ file, change }: Mutant): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-mutant-'))
  try {
    for (const part of ['src', 'test', 'package.json'])
      await cp(join(ROOT, part), join(folder, part), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    let text = await readFile(join(folder, file), 'utf8')
    for (const [from, to] of change) text = text.replace(from, () => to)
    await writeFile(join(folder, file), text)
    const ran = spawnSync(process.execPath, [join(folder, 'test/torture/torture.ts')], {
      env: { ...process.env, TORTURE_POINTS: POINTS, TORTURE_STOP: 'found', SEED: '1' },
      encoding: 'utf8',
    })
    const last = ran.stdout.slice(ran.stdout.lastIndexOf('seed 1,'))
    const kills = /: (\d+) processes killed/.exec(last)?.[1]
    const found = /found: (.*)/.exec(last)?.[1]
    return `${found ?? ran.stderr.slice(-500)} | ${kills}, exit code ${ran.status}`
  } finally {
    await rm(folder, { recursive: true })
  }
}

for (const name of NAMES) {
  const mutant = mutants.find((one) => one.name === name)
  if (mutant === undefined) throw new Error(`there is no mutant "${name}"`)
  console.log(`| ${name} | ${await torture(mutant)} |`)
}
