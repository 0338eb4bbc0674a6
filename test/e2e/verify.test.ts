import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { toldBy, withArchived } from '../support/archived.ts'
import { nobodyRefused, runAsNobody } from '../support/program.ts'
import { type Service, story, withService } from '../support/service.ts'

interface Found {
  verdict: string
  media_id: number
  archive_path: string
  reason: string
}

const foundBy = toldBy<Found>

async function flipBit(path: string, bit: number): Promise<void> {
  const bytes = await readFile(path)
  const at = Math.floor(bit / 8) % bytes.length
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8))
  await writeFile(path, bytes)
}

async function swap(one: string, other: string): Promise<void> {
  await rename(one, `${one}.aside`)
  await rename(other, one)
  await rename(`${one}.aside`, other)
}

/** Every name below a folder with its bytes, its mode and its times. */
async function treeOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(
    files.sort().map(async (file) => {
      const hash = createHash('sha256').update(await readFile(file))
      return `${file} ${hash.digest('hex')}`
    }),
  )
}

async function itemsOf({ sql }: Service): Promise<unknown[]> {
  const rows = await sql`
    select to_jsonb(i) - 'verified_at' - 'damage' - 'damaged_at' as item from strongroom.items i order by id`
  return [...rows]
}

describe('verify', { concurrency: 2 }, () => {
  test('finds every planted fault of files and sidecars, calls it by its name, and nothing else', async (t) => {
    const { service, paths, at } = await withArchived(t, 40)
    const clean = await service.run(['verify'])
    assert.equal(clean.code, 0, story(clean))
    assert.match(clean.stdout, /^40 files checked \(.*\), all as they were archived$/m)

    const planted = new Map<string, string>()
    const plant = async (n: number, verdict: string, spoil: (path: string) => Promise<unknown>) => {
      const path = paths[n] ?? assert.fail()
      planted.set(path, verdict)
      await spoil(at(path))
    }
    for (let n = 0; n < 8; n++) await plant(n, 'damaged', (path) => flipBit(path, n * 977 + n))
    for (let n = 8; n < 16; n++)
      await plant(n, 'sidecar', (path) => flipBit(`${path}.json`, n * 389))
    await plant(16, 'damaged', (path) => truncate(path, 10))
    await plant(17, 'damaged', (path) => writeFile(path, ''))
    await plant(18, 'missing', (path) => rm(path))
    await plant(19, 'sidecar', (path) => rm(`${path}.json`))
    await plant(20, 'sidecar', (path) => truncate(`${path}.json`, 100))
    await plant(21, 'damaged', (path) => swap(path, at(paths[22] ?? '')))
    await plant(22, 'damaged', async () => {})
    await plant(23, 'sidecar', (path) => swap(`${path}.json`, at(`${paths[24]}.json`)))
    await plant(24, 'sidecar', async () => {})
    await plant(25, 'missing', async (path) => {
      await rm(path)
      await mkdir(path)
    })
    await plant(26, 'damaged', (path) => copyFile(at(paths[27] ?? ''), path))

    const before = await treeOf(service.archiveDir)
    const items = await itemsOf(service)
    const ended = await service.run(['verify', '--json'])
    assert.equal(ended.code, 74, story(ended))
    const { found, summary } = foundBy(ended)
    assert.deepEqual(
      new Map(found.map(({ archive_path: path, verdict }) => [path, verdict])),
      planted,
    )
    assert.equal(found.length, planted.size)
    assert.equal(summary.whole, 40 - planted.size)
    assert.deepEqual(await treeOf(service.archiveDir), before, 'it changes nothing')
    assert.deepEqual(await itemsOf(service), items, 'nor in the database, but for what it found')
    const [{ count } = { count: 0 }] = await service.sql<{ count: number }[]>`
      select count(*)::int as count from strongroom.items where damage is not null and verified_at is not null`
    assert.equal(count, planted.size)

    const told = await service.run(['verify'])
    assert.equal(told.code, 74, story(told))
    assert.match(told.stdout, /^missing: media \d+, .*: there is no such file$/m)
    assert.match(told.stdout, /2 missing, 13 damaged, 12 without a good sidecar/)
    assert.match(told.stdout, /restore the others from a backup/)
    const why = await service.run(['why', '1'])
    assert.match(
      why.stdout,
      /not as it was archived: damaged: .*\. The source stays until the file was /,
    )
    assert.doesNotMatch(why.stdout, /may go/)
    const link = await service.run(['token', '--media', '1'], {
      UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
    })
    assert.match(link.stderr, /not as it was archived when it was last read: damaged: /)
    assert.match(link.stdout, /^http/)
    const unconfirmed = await service.run(['verify', '--repair', '--json'])
    assert.equal(unconfirmed.code, 74, story(unconfirmed))
    assert.match(unconfirmed.stderr, /too many archived files are damaged at once/)
    assert.deepEqual(await treeOf(service.archiveDir), before, 'so much is not healed by itself')
    const repaired = await service.run(['verify', '--repair', '--confirm'])
    assert.match(repaired.stdout, /26 healed, 0 lost/, story(repaired))
    await rmdir(at(paths[25] ?? ''))
    const rest = await service.run(['verify', '--repair'])
    assert.equal(rest.code, 0, story(rest))
    assert.match(
      (await service.run(['verify'])).stdout,
      /^40 files checked .*, all as they were archived$/m,
    )
  })

  test('needs no right to write into the archive, nor that there is ERROR_DIR', {
    skip: nobodyRefused(),
  }, async (t) => {
    const { service, paths, at } = await withArchived(t, 2)
    await chmod(dirname(service.archiveDir), 0o755)
    await rename(service.errorDir, `${service.errorDir}.away`)
    const whole = await runAsNobody(['verify'], service.env)
    assert.equal(whole.code, 0, story(whole))
    assert.match(whole.stdout, /^2 files checked .*, all as they were archived$/m)
    await flipBit(at(paths[0] ?? ''), 77)
    const found = await runAsNobody(['verify'], service.env)
    assert.equal(found.code, 74, story(found))
    assert.match(found.stdout, /^damaged: media 1, /m)
    const repaired = await runAsNobody(['verify', '--repair'], service.env)
    assert.equal(repaired.code, 74, story(repaired))
    assert.match(repaired.stderr, /ARCHIVE_DIR .* belongs to 0:0, and 99:100 may not write there/)
  })

  test('an archive that is not mounted is no archive of missing files', async (t) => {
    const { service } = await withArchived(t, 1)
    await rename(service.archiveDir, `${service.archiveDir}.away`)
    await mkdir(service.archiveDir)
    const ended = await service.run(['verify'])
    assert.equal(ended.code, 74, story(ended))
    assert.equal(ended.stdout, '')
    assert.match(ended.stderr, /has no marker|is not the archive/)
  })

  test('one medium, a sample, and wrong words', async (t) => {
    const { service, paths, at } = await withArchived(t, 3)
    await rm(at(paths[1] ?? ''))
    const [, second] = await service.sql<{ media_id: string }[]>`
      select media_id from strongroom.items order by media_id`
    const id = second?.media_id ?? ''
    const one = await service.run(['verify', '--media', id, '--json'])
    assert.equal(one.code, 74, story(one))
    assert.deepEqual(
      foundBy(one).found.map((each) => each.media_id),
      [Number(id)],
    )
    const all = await service.run([
      'verify',
      '--all',
      '--sample',
      '100%',
      '--rate',
      '1000',
      '--json',
    ])
    assert.equal(foundBy(all).summary.whole, 2, story(all))
    const none = await service.run(['verify', '--sample', '0.000001%'])
    assert.equal(none.stdout, '0 files checked (0 B)\n', 'of what nobody looked at nothing is said')
    for (const { args, says } of [
      { args: ['--sample', '0'], says: /a percentage above 0 and up to 100 is needed/ },
      {
        args: ['--all', '--media', '1'],
        says: /'--all' cannot be used with option '--media <id>'/,
      },
      { args: ['--rate', 'fast'], says: /a positive whole number is needed/ },
    ]) {
      const wrong = await service.run(['verify', ...args])
      assert.equal(wrong.code, 64, story(wrong))
      assert.match(wrong.stderr, says)
    }
    const unknown = await service.run(['verify', '--media', '4711'])
    assert.equal(unknown.code, 1, story(unknown))
    assert.match(unknown.stderr, /nothing of media 4711 is in the archive\n.*"strongroom why 4711"/)
  })

  test('says so before the first sync', async (t) => {
    const service = await withService(t)
    await service.migrate()
    const ended = await service.run(['verify'])
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, /there is no archive in this database yet/)
  })
})
