import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { createSpace } from '../../src/sync/space.ts'
import { hasCode } from '../support/scopes.ts'
import { createSimDisk } from '../support/sim-disk.ts'

const MARGIN = 1024 * 1024

function withRoom(freeBytes: () => Promise<number>): Disk {
  return { ...createSimDisk(), freeBytes }
}

test('what is promised to one download is not promised to another', async () => {
  const space = createSpace(withRoom(async () => MARGIN + 100))
  const first = await space.reserve(60)
  await assert.rejects(space.reserve(41), hasCode('DISK_FULL'))
  await space.reserve(40)
  first.end()
  await space.reserve(60)
})

test('two downloads that ask at once are not both promised the last room', async () => {
  const space = createSpace(withRoom(async () => MARGIN + 100))
  const both = await Promise.allSettled([space.reserve(60), space.reserve(60)])
  assert.ok(both.some(({ status }) => status === 'rejected'))
})

test('bytes on the disk are no longer promised, and count once', async () => {
  let free = MARGIN + 100
  const space = createSpace(withRoom(async () => free))
  const first = await space.reserve(100)
  free -= 70
  first.wrote(70)
  await assert.rejects(space.reserve(1), hasCode('DISK_FULL'))
  free -= 30
  first.wrote(30)
  first.wrote(1000)
  first.end()
  first.end()
  free += 50
  await space.reserve(50)
})

test('bytes that were discarded are promised again', async () => {
  let free = MARGIN + 100
  const space = createSpace(withRoom(async () => free))
  const first = await space.reserve(100)
  free -= 100
  first.wrote(100)
  free += 100
  first.discarded(100)
  await assert.rejects(space.reserve(1), hasCode('DISK_FULL'))
  first.end()
  await space.reserve(100)
})

test('a refused or failed reservation promises nothing', async () => {
  let answer = async () => MARGIN
  const space = createSpace(withRoom(() => answer()))
  await assert.rejects(space.reserve(1), hasCode('DISK_FULL', /free, \d+ are needed/))
  answer = async () => {
    throw new AppError('DISK_SICK', 'the disk failed')
  }
  await assert.rejects(space.reserve(5), hasCode('DISK_SICK'))
  answer = async () => MARGIN + 5
  await space.reserve(5)
})
