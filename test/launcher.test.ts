import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'

const main = `const facts: object = { args: process.argv.slice(2), cwd: process.cwd(), node: process.execPath, flags: process.execArgv, env: process.env }
console.log(JSON.stringify(facts))
process.exitCode = 3
`
const systemPath = '/usr/bin:/bin'

/** A checkout with the launcher, a small program, and no Node of its own, in a folder whose name has a space. */
async function withCheckout(use: (checkout: Checkout) => Promise<void>): Promise<void> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'strongroom launcher-')))
  const root = join(base, 'checkout')
  try {
    for (const folder of ['bin', 'src', 'node_modules'])
      await mkdir(join(root, folder), { recursive: true })
    await copyFile(join(import.meta.dirname, '../bin/strongroom'), join(root, 'bin/strongroom'))
    await writeFile(join(root, 'src/main.ts'), main)
    await writeFile(join(root, 'package.json'), '{"type":"module"}')
    await use({ base, root, launcher: join(root, 'bin/strongroom') })
  } finally {
    await rm(base, { recursive: true })
  }
}

interface Checkout {
  base: string
  root: string
  launcher: string
}

async function ownNode(root: string, at = 'node_modules/node/bin/node'): Promise<void> {
  await mkdir(dirname(join(root, at)), { recursive: true })
  await symlink(process.execPath, join(root, at))
}

/** A folder for PATH with a `node` that only knows its version. */
async function fakeNode(base: string, version: string): Promise<string> {
  const folder = join(base, 'fake-bin')
  await mkdir(folder)
  await writeFile(join(folder, 'node'), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
  return folder
}

interface Ran {
  code: number
  stdout: string
  stderr: string
}

function run(
  file: string,
  options: { args?: string[]; cwd?: string; path?: string; env?: Record<string, string> } = {},
): Promise<Ran> {
  const { args = [], cwd = '/', path = systemPath, env = {} } = options
  const { promise, resolve } = Promise.withResolvers<Ran>()
  const child = execFile(file, args, { cwd, env: { PATH: path, ...env } }, (_, stdout, stderr) =>
    resolve({ code: child.exitCode ?? -1, stdout, stderr }),
  )
  return promise
}

describe('the launcher', () => {
  test('runs the program from any folder with its arguments, exit code and no warning', async () => {
    await withCheckout(async ({ base, root, launcher }) => {
      await ownNode(root)
      const ran = await run(launcher, { args: ['start', 'a b', '', '$x'], cwd: base })
      assert.deepEqual([ran.code, ran.stderr], [3, ''])
      const facts = JSON.parse(ran.stdout)
      assert.deepEqual(facts.args, ['start', 'a b', '', '$x'])
      assert.equal(facts.cwd, base)
      assert.ok(facts.flags.includes('--disable-warning=ExperimentalWarning'))
    })
  })

  test('gives a server, which makes garbage with every request, more room for it', async () => {
    await withCheckout(async ({ root, launcher }) => {
      await ownNode(root)
      const roomOf = async (args: string[]) => {
        const { flags } = JSON.parse((await run(launcher, { args })).stdout)
        return flags.filter((flag: string) => flag.startsWith('--max-semi-space-size'))
      }
      assert.deepEqual(await roomOf(['sync', '--once']), ['--max-semi-space-size=4'])
      assert.deepEqual(await roomOf(['--env-file', 'f', 'start']), ['--max-semi-space-size=16'])
    })
  })

  test('runs through symbolic links, relative and absolute, one behind the other', async () => {
    await withCheckout(async ({ base, root, launcher }) => {
      await ownNode(root)
      await mkdir(join(base, 'links'))
      await symlink(launcher, join(base, 'links/absolute'))
      await symlink('../links/absolute', join(base, 'links/relative'))
      await symlink('checkout', join(base, 'other name'))
      for (const link of ['links/relative', 'other name/bin/strongroom']) {
        assert.equal((await run(join(base, link))).code, 3, link)
      }
      const named = await run('/bin/sh', { args: ['links/relative'], cwd: base })
      assert.equal(named.code, 3)
      const byPath = await run('/bin/sh', {
        args: ['-c', 'relative'],
        path: `${join(base, 'links')}:${systemPath}`,
      })
      assert.equal(byPath.code, 3)
    })
  })

  for (const at of ['node_modules/node/bin/node', 'node_modules/.bin/node']) {
    test(`takes ${at} before the machine's Node`, async () => {
      await withCheckout(async ({ base, root, launcher }) => {
        await ownNode(root, at)
        const fake = await fakeNode(base, 'v99.0.0')
        assert.equal((await run(launcher, { path: `${fake}:${systemPath}` })).code, 3)
      })
    })
  }

  test("takes the machine's Node where its own is missing or does not run", async () => {
    await withCheckout(async ({ root, launcher }) => {
      const path = `${dirname(process.execPath)}:${systemPath}`
      assert.equal((await run(launcher, { path })).code, 3)
      await mkdir(join(root, 'node_modules/node/bin'), { recursive: true })
      const foreign = join(root, 'node_modules/node/bin/node')
      await writeFile(foreign, '\u007fELF of another machine', { mode: 0o755 })
      assert.equal((await run(launcher, { path })).code, 3)
    })
  })

  for (const version of ['v18.20.4', 'v23.11.0', 'nonsense']) {
    test(`says in one line what to do when all it finds is Node ${version}`, async () => {
      await withCheckout(async ({ base, root, launcher }) => {
        const fake = await fakeNode(base, version)
        const ran = await run(launcher, { path: `${fake}:${systemPath}` })
        assert.deepEqual([ran.code, ran.stdout], [69, ''])
        assert.equal(
          ran.stderr,
          `strongroom: needs Node 24 or newer (found ${version} at ${fake}/node); install it, or run 'npm ci' in ${root}, which brings its own\n`,
        )
      })
    })
  }

  test('says in one line what to do when there is no Node at all', async () => {
    await withCheckout(async ({ base, root, launcher }) => {
      await mkdir(join(base, 'tools'))
      for (const tool of ['dirname', 'readlink'])
        await symlink(`/usr/bin/${tool}`, join(base, 'tools', tool))
      const ran = await run(launcher, { path: join(base, 'tools') })
      assert.equal(ran.code, 69)
      assert.equal(
        ran.stderr,
        `strongroom: needs Node 24 or newer; install it, or run 'npm ci' in ${root}, which brings its own\n`,
      )
    })
  })

  test('says in one line what to do when the libraries are not installed', async () => {
    await withCheckout(async ({ root, launcher }) => {
      await rm(join(root, 'node_modules'), { recursive: true })
      const ran = await run(launcher, { path: `${dirname(process.execPath)}:${systemPath}` })
      assert.equal(ran.code, 69)
      assert.equal(
        ran.stderr,
        `strongroom: its libraries are not installed; run 'npm ci' in ${root}\n`,
      )
    })
  })
})

describe('the launcher keeps compiled code', () => {
  /** Where the program is told to keep it. */
  async function cacheOf(
    { launcher }: Checkout,
    env: Record<string, string>,
    args: string[] = [],
  ): Promise<string | undefined> {
    // Where coverage is measured nothing is kept, and Node would hand that on to the launcher.
    const ran = await run(launcher, { env: { ...env, NODE_V8_COVERAGE: '' }, args })
    assert.equal(ran.stderr, '')
    return JSON.parse(ran.stdout).env.NODE_COMPILE_CACHE
  }

  test('in a folder that nobody else may open: of the service, of the user, or a temporary one', async () => {
    await withCheckout(async (checkout) => {
      await ownNode(checkout.root)
      const [HOME, TMPDIR, service] = ['home', 'tmp', 'cache'].map((name) =>
        join(checkout.base, name),
      )
      assert.ok(HOME && TMPDIR && service)
      for (const folder of [HOME, TMPDIR]) await mkdir(folder)
      const found = [
        [await cacheOf(checkout, { TMPDIR }), join(TMPDIR, `strongroom-${process.getuid?.()}`)],
        [await cacheOf(checkout, { TMPDIR, HOME }), join(HOME, '.cache/strongroom')],
        [await cacheOf(checkout, { HOME, CACHE_DIRECTORY: service }), service],
      ]
      for (const [told, expected = ''] of found) {
        assert.equal(told, expected)
        assert.equal((await stat(expected)).mode & 0o777, 0o700)
        assert.notDeepEqual(await readdir(expected), [], 'something is kept')
      }
    })
  })

  test('nowhere where it would have to trust somebody else, and for no dry run', async () => {
    await withCheckout(async (checkout) => {
      await ownNode(checkout.root)
      const { base } = checkout
      const TMPDIR = join(base, 'tmp')
      await mkdir(TMPDIR)
      // What another made in advance: a link to a folder of ours would do as well for that as a folder of theirs.
      await mkdir(join(base, 'elsewhere'))
      await symlink(join(base, 'elsewhere'), join(TMPDIR, `strongroom-${process.getuid?.()}`))
      assert.equal(await cacheOf(checkout, { TMPDIR }), undefined)
      assert.equal(await cacheOf(checkout, { TMPDIR, HOME: '/proc' }), undefined)
      assert.equal(await cacheOf(checkout, { TMPDIR, HOME: '/nonexistent' }), undefined)
      const HOME = join(base, 'home')
      await mkdir(HOME)
      assert.equal(await cacheOf(checkout, { HOME }, ['sync', '--once', '--dry-run']), undefined)
      assert.deepEqual(await readdir(HOME), [])
    })
  })
})
