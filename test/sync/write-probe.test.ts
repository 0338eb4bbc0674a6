import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'
import { TEMPORARY_FOLDER } from '../../src/sync/volume.ts'
import { createWriteProbe, isWriteProbe } from '../../src/sync/write-probe.ts'
import { hasCode, mountsRefused, withDisk, withVolume } from '../support/scopes.ts'

/** A disk whose files tell what is done to them, a clock that goes when it is told to, and the check. */
async function withProbe(t: TestContext, patienceMs = 60_000) {
  const disk = await withDisk(t)
  await disk.makeFolder('.strongroom')
  await disk.makeFolder(TEMPORARY_FOLDER)
  const done: string[] = []
  let sealed: () => Promise<void> = async () => {}
  let now = 0
  const watched: Disk = {
    ...disk,
    async create(path) {
      done.push('create')
      assert.ok(isWriteProbe(path.slice(TEMPORARY_FOLDER.length + 1)), path)
      const file = await disk.create(path)
      return {
        ...file,
        path: file.path,
        get sizeBytes() {
          return file.sizeBytes
        },
        async seal(mode) {
          done.push('seal')
          await sealed()
          await file.seal(mode)
        },
      }
    },
  }
  return {
    check: createWriteProbe(watched, { clock: () => now, patienceMs }),
    done,
    left: () => readdir(join(disk.root, TEMPORARY_FOLDER)),
    pass: (ms: number) => {
      now += ms
    },
    whenSealed: (then: () => Promise<void>) => {
      sealed = then
    },
  }
}

test('a small file is written, synced and removed, every five seconds at most', async (t) => {
  const { check, done, left, pass } = await withProbe(t)
  await Promise.all([check(), check(), check()])
  pass(4_999)
  await check()
  assert.deepEqual(done, ['create', 'seal'])
  assert.deepEqual(await left(), [])
  pass(1)
  await check()
  assert.equal(done.length, 4)
})

test('a disk that fails is told of until it works again', async (t) => {
  const { check, left, pass, whenSealed } = await withProbe(t)
  whenSealed(() => Promise.reject(new AppError('DISK_SICK', 'it broke')))
  for (let n = 0; n < 2; n++) await assert.rejects(check(), hasCode('DISK_SICK'))
  assert.deepEqual(await left(), [])
  whenSealed(async () => {})
  await assert.rejects(check(), hasCode('DISK_SICK'), 'it was not asked again yet')
  pass(5_000)
  await check()
})

test('a sync that takes its time is waited for, one that takes half a minute is a failure', async (t) => {
  const { check, done, pass, whenSealed } = await withProbe(t, 0)
  const sync = Promise.withResolvers<void>()
  whenSealed(() => sync.promise)
  await check()
  pass(30_000)
  await check()
  pass(1)
  await assert.rejects(check(), hasCode('ARCHIVE_SLOW'))
  assert.deepEqual(done.filter((step) => step === 'create').length, 1, 'never two at a time')
  sync.resolve()
})

test('a full disk and one that may not be written to are named', {
  skip: mountsRefused(),
}, async (t) => {
  const volume = await withVolume(t, 1_000_000)
  const disk = await openDisk(volume.folder)
  await disk.makeFolder('.strongroom')
  await disk.makeFolder(TEMPORARY_FOLDER)
  const fill = await disk.create('fill')
  await assert.rejects(fill.write(Buffer.alloc(2_000_000)), hasCode('DISK_FULL'))
  await fill.close()
  await assert.rejects(createWriteProbe(disk)(), hasCode('DISK_FULL'))
  await disk.unlink('fill')
  await createWriteProbe(disk)()
  await volume.makeReadOnly()
  await assert.rejects(createWriteProbe(disk)(), hasCode('DISK_DENIED'))
})
