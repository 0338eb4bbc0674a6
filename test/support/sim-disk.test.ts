import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from './scopes.ts'
import { createSimDisk, type SimDisk } from './sim-disk.ts'

/** Every state that a power cut may leave, as sorted `path=content` lines. */
function states(disk: SimDisk, limit?: number): string[] {
  return [...disk.crashStates(limit)].map((state) => show(state)).sort()
}

function show(disk: SimDisk): string {
  const lines = [...disk.tree()].map(([path, { kind, content }]) =>
    kind === 'file' ? `${path}=${content.toString().replaceAll('\0', '0')}` : `${path}/`,
  )
  return lines.sort().join(' ')
}

async function put(disk: SimDisk, path: string, content: string): Promise<void> {
  const file = await disk.create(path)
  await file.write(Buffer.from(content))
  await file.seal(0o640)
}

test('an unsynced name may be lost, a sealed content is whole where it has a name', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'xy')
  assert.deepEqual(states(disk), ['', 'a=xy'])
  await disk.syncFolder('')
  assert.deepEqual(states(disk), ['a=xy'])
})

test('an unsynced content may be absent, empty, torn, zeroed or whole', async () => {
  const disk = createSimDisk()
  const file = await disk.create('a')
  await file.write(Buffer.from('xy'))
  await disk.syncFolder('')
  assert.deepEqual(states(disk), ['', 'a=', 'a=00', 'a=x', 'a=xy'])
  await disk.syncFile('a')
  assert.deepEqual(states(disk), ['a=xy'])
  await file.write(Buffer.from('z!'))
  assert.deepEqual(states(disk), ['a=xy', 'a=xy00', 'a=xyz', 'a=xyz!'])
})

test('unsynced names survive in any subset', async () => {
  const disk = createSimDisk()
  for (const name of ['a', 'b', 'c']) await put(disk, name, name)
  assert.equal(states(disk).length, 8)
})

test('an unsynced rename may leave both names, either or none', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  await disk.syncFolder('')
  await disk.rename('a', 'b')
  assert.deepEqual(states(disk), ['', 'a=x', 'a=x b=x', 'b=x'])
})

test('a replaced name stands for the old file or the new one', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'old')
  await put(disk, 'b', 'new')
  await disk.syncFolder('')
  await disk.rename('b', 'a')
  assert.deepEqual(states(disk), ['a=new', 'a=new b=new', 'a=old', 'a=old b=new'])
})

test('a removed file may come back until the folder is synced', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  await disk.syncFolder('')
  await disk.unlink('a')
  assert.deepEqual(states(disk), ['', 'a=x'])
  await disk.syncFolder('')
  assert.deepEqual(states(disk), [''])
})

test('a sync of a folder covers neither its own name nor the level below', async () => {
  const disk = createSimDisk()
  await disk.makeFolder('a')
  await disk.makeFolder('a/b')
  await disk.syncFolder('a')
  assert.deepEqual(states(disk), ['', 'a/ a/b/'])
  await put(disk, 'a/b/c', 'x')
  await disk.syncFolder('')
  await disk.syncFolder('a')
  assert.deepEqual(states(disk), ['a/ a/b/', 'a/ a/b/ a/b/c=x'])
})

test('what a failed sync did not cover is never durable, although later syncs succeed', async () => {
  const disk = createSimDisk()
  const file = await disk.create('a')
  await file.write(Buffer.from('xy'))
  disk.failNext('seal', 'DISK_SICK')
  await assert.rejects(file.seal(0o640), hasCode('DISK_SICK'))
  await disk.syncFile('a')
  disk.failNext('syncFolder', 'DISK_SICK')
  await assert.rejects(disk.syncFolder(''), hasCode('DISK_SICK'))
  await disk.syncFolder('')
  assert.deepEqual(states(disk), ['', 'a=', 'a=00', 'a=x', 'a=xy'])
})

test('a crash state is a whole disk of its own, all of it durable', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  await disk.link('a', 'b')
  await disk.syncFolder('')
  const [left] = [...disk.crashStates()]
  assert.ok(left)
  assert.equal((await left.stat('b'))?.links, 2)
  assert.deepEqual(await left.stat('a'), await disk.stat('a'))
  await left.unlink('a')
  assert.equal(show(disk), 'a=x b=x')
  assert.deepEqual(states(left), ['a=x b=x', 'b=x'])
})

test('above the limit the states are a sample that the seed determines', async () => {
  const disk = createSimDisk()
  const names = Array.from({ length: 20 }, (_, index) => `f${index}`)
  for (const name of names) await put(disk, name, 'x')
  const sample = states(disk, 50)
  assert.ok(sample.length <= 50 && sample.length > 40)
  assert.deepEqual(states(disk, 50), sample)
  assert.ok(sample.includes(''))
  assert.ok(sample.includes(show(disk)))
  const other = [...disk.crashStates(50, 2)].map(show).sort()
  assert.notDeepEqual(other, sample)
})

test('an operation can be counted, halted and made to fail', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  assert.equal(disk.ops, 3)
  disk.failNext('link', 'DISK_SICK', 'a')
  await disk.stat('a')
  await assert.rejects(disk.link('a', 'b'), hasCode('DISK_SICK'))
  await disk.link('a', 'b')
  disk.onOp = (name, path) => {
    throw new Error(`halted at ${name} ${path}`)
  }
  await assert.rejects(disk.unlink('a'), /halted at unlink a/)
  assert.equal(show(disk), 'a=x b=x')
})

test('a failed write leaves half of the chunk and a file that can only be discarded', async () => {
  const disk = createSimDisk()
  const file = await disk.create('a')
  disk.failNext('write', 'DISK_FULL')
  await assert.rejects(file.write(Buffer.from('four')), hasCode('DISK_FULL'))
  await assert.rejects(file.seal(0o640), hasCode('DISK_FULL'))
  await file.close()
  assert.equal(show(disk), 'a=fo')
})

test('a disk of limited capacity fills up and empties again', async () => {
  const disk = createSimDisk()
  disk.capacityBytes = 10
  await put(disk, 'a', '12345678')
  await disk.link('a', 'b')
  assert.equal((await disk.room()).freeBytes, 2)
  const file = await disk.create('c')
  await assert.rejects(file.write(Buffer.from('1234')), hasCode('DISK_FULL'))
  assert.equal(show(disk), 'a=12345678 b=12345678 c=12')
  for (const path of ['a', 'b', 'c']) await disk.unlink(path)
  assert.equal((await disk.room()).freeBytes, 10)
})

test('a volume taken away shows an empty folder on another device until it is back', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  const { device } = disk
  disk.unmount()
  assert.notEqual(disk.device, device)
  assert.equal(show(disk), '')
  await put(disk, 'b', 'y')
  assert.equal((await disk.hash('b')).device, disk.device)
  disk.remount()
  assert.equal(disk.device, device)
  assert.equal(show(disk), 'a=x')
  assert.deepEqual([...disk.beneath().keys()], ['b'])
})

test('a file system without links refuses them', async () => {
  const disk = createSimDisk()
  await put(disk, 'a', 'x')
  disk.linksRefused = true
  await assert.rejects(disk.link('a', 'b'), hasCode('LINK_REFUSED'))
})
