import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDurableFolders } from '../../src/storage/folders.ts'
import { hasCode, withDisk } from '../support/scopes.ts'
import { createSimDisk, type SimDisk } from '../support/sim-disk.ts'

/** Which folders are there after every possible power cut. */
function durable(disk: SimDisk): string[] {
  const states = [...disk.crashStates()].map((state) => state.tree())
  return [...disk.tree().keys()].filter((path) => states.every((tree) => tree.has(path)))
}

function calls(disk: SimDisk): string[] {
  const seen: string[] = []
  disk.onOp = (name, path) => void seen.push(`${name} ${path}`)
  return seen
}

test('an ensured folder survives a power cut, with every level above it', async () => {
  const disk = createSimDisk()
  await createDurableFolders(disk).ensure('2026/01/7')
  assert.deepEqual(durable(disk), ['2026', '2026/01', '2026/01/7'])
})

test('a folder that exists but was never synced is synced too', async () => {
  const disk = createSimDisk()
  await disk.makeFolder('a')
  await disk.makeFolder('a/b')
  assert.deepEqual(durable(disk), [])
  await createDurableFolders(disk).ensure('a/b')
  assert.deepEqual(durable(disk), ['a', 'a/b'])
})

test('each level is made and synced once, however many ask at the same time', async () => {
  const disk = createSimDisk()
  const seen = calls(disk)
  const folders = createDurableFolders(disk)
  await Promise.all(['a/b', 'a', 'a/c', 'a/b'].map((path) => folders.ensure(path)))
  await folders.ensure('a/b')
  const made = seen.filter((call) => call.startsWith('makeFolder'))
  assert.deepEqual(made.sort(), ['makeFolder a', 'makeFolder a/b', 'makeFolder a/c'])
  assert.equal(seen.length, 6)
})

test('a level that failed is tried again, by those below it too', async () => {
  for (const step of ['makeFolder', 'syncFolder'] as const) {
    const disk = createSimDisk()
    const folders = createDurableFolders(disk)
    disk.failNext(step, 'DISK_FULL')
    const both = await Promise.allSettled([folders.ensure('a/b'), folders.ensure('a')])
    for (const result of both) {
      assert.equal(result.status === 'rejected' && hasCode('DISK_FULL')(result.reason), true)
    }
    const seen = calls(disk)
    await folders.ensure('a/b')
    assert.equal(seen.length, 4)
  }
})

test('what was forgotten is made and synced again', async () => {
  const disk = createSimDisk()
  const folders = createDurableFolders(disk)
  await folders.ensure('a')
  disk.unmount()
  folders.forget()
  await folders.ensure('a')
  assert.deepEqual([...disk.tree().keys()], ['a'])
})

test('a folder that was removed is made anew, with all above it that went with it', async (t) => {
  const disk = await withDisk(t)
  const folders = createDurableFolders(disk)
  await folders.ensure('a/b/c')
  await rm(join(disk.root, 'a'), { recursive: true })
  await folders.ensureAnew('a/b/c')
  assert.equal((await disk.stat('a/b/c'))?.kind, 'folder')
})

test('a failure from before forget() spoils nothing that was ensured after it', async () => {
  const disk = createSimDisk()
  const folders = createDurableFolders(disk)
  const gate = Promise.withResolvers<void>()
  disk.onOp = () => gate.promise
  const early = folders.ensure('a')
  folders.forget()
  disk.onOp = null
  await folders.ensure('a')
  gate.reject(new Error('late failure'))
  await assert.rejects(early, /late failure/)
  const seen = calls(disk)
  await folders.ensure('a')
  assert.deepEqual(seen, [])
})

test('the root needs nothing, and no path leads out of it', async (t) => {
  const disk = await withDisk(t)
  const folders = createDurableFolders(disk)
  await folders.ensure('')
  await folders.ensure('a/b')
  assert.deepEqual(await disk.list('a'), ['b'])
  for (const path of ['/a', '../a', 'a/../../b']) {
    await assert.rejects(folders.ensure(path), hasCode('PATH_UNSAFE'))
  }
})

test('only so many levels are remembered, those that were asked for last; others are made sure of anew', async () => {
  const disk = createSimDisk()
  const folders = createDurableFolders(disk, 3)
  for (const name of ['1', '2', '3', '4']) await folders.ensure(`a/${name}`)
  const seen = calls(disk)
  await folders.ensure('a/4')
  await folders.ensure('a/3')
  assert.deepEqual(seen, [], 'they are known, and so is what is above them all')
  await folders.ensure('a/1')
  assert.deepEqual(seen, ['makeFolder a/1', 'syncFolder a'])
  assert.ok(durable(disk).includes('a/1'))
})
