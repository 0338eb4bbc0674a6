import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { AppError, isAppError } from '../../src/errors.ts'
import { openDisk } from '../../src/storage/disk.ts'
import { createDurableFolders } from '../../src/storage/folders.ts'
import { moveAside, quarantine } from '../../src/sync/aside.ts'
import { tree } from '../support/checker.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const item = { id: 1, epoch: 1 }
const isLate = (error: unknown) => isAppError(error, 'LEASE_LOST')

describe('a worker whose lease is over when its rename has happened', () => {
  test('puts back what it took for damaged: the next holder may have found it good', async (t) => {
    const { parts, look } = await withLateWorker(t, 'the only copy')
    await assert.rejects(quarantine(parts, item, { paths: ['a/f.mp4'] }), isLate)
    assert.deepEqual(await look(), { 'a/f.mp4': 'there', aside: [] })
  })

  test('leaves withdrawn what was to be withdrawn', async (t) => {
    const { parts, look } = await withLateWorker(t, 'not approved any more')
    const move = { item, paths: ['a/f.mp4'], to: '.strongroom/quarantine/1.1' }
    await assert.rejects(moveAside(parts, { ...move, undo: 'replaced' }), isLate)
    const seen = await look()
    assert.equal(seen['a/f.mp4'], 'gone')
    assert.ok(seen.aside.includes('f.mp4'))
  })
})

for (const canLink of [true, false])
  test(`what another database set aside under the same number stays, ${canLink ? 'with' : 'without'} links`, async (t) => {
    const folder = await withFolder(t)
    const aside = join(folder, '.strongroom/quarantine')
    await mkdir(join(folder, 'a'))
    await mkdir(join(aside, '1.1'), { recursive: true })
    const before = {
      '1.1/f.mp4': 'the last copy',
      '1.1/f.mp4.1': 'another',
      '1.1/g.mp4': 'a third',
    }
    for (const [path, text] of Object.entries(before)) await writeFile(join(aside, path), text)
    for (const name of ['f.mp4', 'f.mp4.json'])
      await writeFile(join(folder, 'a', name), 'set aside now')
    const disk = await openDisk(folder)
    const leases = { assertAlive() {}, confirm: async () => {} }
    const parts = { disk, folders: createDurableFolders(disk), volume: { canLink }, leases }
    // The first try came as far as the file.
    for (const paths of [['a/f.mp4'], ['a/f.mp4', 'a/f.mp4.json']])
      await quarantine(parts as unknown as Parameters<typeof quarantine>[0], item, { paths })
    const found: Record<string, string> = {}
    for (const path of Object.keys(await tree(aside)))
      if (path.includes('mp4')) found[path] = await readFile(join(aside, path), 'utf8')
    const now = { '1.1~2/f.mp4': 'set aside now', '1.1~2/f.mp4.json': 'set aside now' }
    assert.deepEqual(found, { ...before, ...now })
  })

/** Its lease is alive before the rename and over after it. */
async function withLateWorker(t: Scope, contents: string) {
  const folder = await withFolder(t)
  await mkdir(join(folder, 'a'))
  await mkdir(join(folder, '.strongroom'))
  await writeFile(join(folder, 'a/f.mp4'), contents)
  const disk = await openDisk(folder)
  let over = false
  const assertAlive = () => {
    if (over) throw new AppError('LEASE_LOST', 'another worker holds it')
  }
  const parts = {
    disk: {
      ...disk,
      rename: async (from: string, to: string) => {
        await disk.rename(from, to)
        over = true
      },
    },
    folders: createDurableFolders(disk),
    volume: { canLink: true },
    leases: {
      assertAlive,
      confirm: async () => assertAlive(),
    },
  } as unknown as Parameters<typeof quarantine>[0]
  const look = async () => ({
    'a/f.mp4': (await disk.stat('a/f.mp4')) === null ? 'gone' : 'there',
    aside: await readdir(join(folder, '.strongroom/quarantine/1.1')),
  })
  return { parts, look }
}
