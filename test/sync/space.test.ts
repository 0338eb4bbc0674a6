import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { createSpace, type SpaceOptions } from '../../src/sync/space.ts'
import { hasCode } from '../support/scopes.ts'
import { createSimDisk } from '../support/sim-disk.ts'

const MARGIN = 1024 * 1024

function withRoom(freeBytes: () => Promise<number>): Disk {
  const room = async () => ({ freeBytes: await freeBytes(), totalBytes: 2 ** 50 })
  return { ...createSimDisk(), room }
}

test('what is promised to one download is not promised to another', async () => {
  const space = createSpace(withRoom(async () => MARGIN + 100))
  const first = await space.reserve(60)
  await assert.rejects(space.reserve(41), hasCode('DISK_LOW'))
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
  await first.wrote(70)
  await assert.rejects(space.reserve(1), hasCode('DISK_LOW'))
  free -= 30
  await first.wrote(30)
  await first.wrote(1000)
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
  await first.wrote(100)
  free += 100
  first.discarded(100)
  await assert.rejects(space.reserve(1), hasCode('DISK_LOW'))
  first.end()
  await space.reserve(100)
})

test('a refused or failed reservation promises nothing', async () => {
  let answer = async () => MARGIN
  const space = createSpace(withRoom(() => answer()))
  await assert.rejects(space.reserve(1), hasCode('DISK_LOW', /free, \d+ are needed/))
  answer = async () => {
    throw new AppError('DISK_SICK', 'the disk failed')
  }
  await assert.rejects(space.reserve(5), hasCode('DISK_SICK'))
  answer = async () => MARGIN + 5
  await space.reserve(5)
})

/** A disk of 100 MiB, on which 20 are to stay free. */
function withGuard(options: Partial<SpaceOptions> = {}) {
  const at = { free: 100 * MARGIN, looks: 0 }
  const disk = {
    ...createSimDisk(),
    room: async () => {
      at.looks += 1
      return { freeBytes: at.free, totalBytes: 100 * MARGIN }
    },
  }
  const minBytesOf = (total: number) => total / 5
  return { at, space: createSpace(disk, { minBytesOf, ...options }) }
}

describe('what is to stay free', () => {
  test('is claimed past only while it is free, with what is under way taken off', async () => {
    const { at, space } = withGuard()
    at.free = 30 * MARGIN
    const first = await space.reserve(10 * MARGIN)
    await space.assertRoom()
    at.free -= 1
    await assert.rejects(space.assertRoom(), hasCode('DISK_LOW'))
    first.end()
    await space.assertRoom()
    at.free = 20 * MARGIN - 1
    await assert.rejects(space.assertRoom(), hasCode('DISK_LOW', /\d+ bytes free, \d+ are needed/))
  })

  test('is not touched by a download that begins', async () => {
    const { at, space } = withGuard()
    at.free = 30 * MARGIN
    await assert.rejects(space.reserve(10 * MARGIN + 1), hasCode('DISK_LOW'))
    await space.reserve(10 * MARGIN)
  })

  test('is not what keeps an object away that is larger than the disk, which no room is made for', async () => {
    const { space } = withGuard()
    await assert.rejects(space.reserve(99 * MARGIN + 1), hasCode('OBJECT_TOO_LARGE'))
    await assert.rejects(space.reserveCopy(99 * MARGIN + 1), {
      code: 'OBJECT_TOO_LARGE',
      message: /all of the disk of \S+ has/,
      hint: /^put the folder that it names on a larger disk/,
    })
    const { neededBytes, reservedBytes, low } = await space.state()
    assert.deepEqual([neededBytes, reservedBytes, low], [0, 0, false])
  })

  test('is there for the copy that ends work in hand, if it fits', async () => {
    const { at, space } = withGuard()
    at.free = 20 * MARGIN
    await assert.rejects(space.reserveCopy(19 * MARGIN + 1), hasCode('DISK_LOW'))
    await space.reserveCopy(19 * MARGIN)
  })

  test('is there for a download in hand, which ends before it no longer fits', async () => {
    const { at, space } = withGuard({ checkEveryBytes: 2 * MARGIN })
    const download = await space.reserve(50 * MARGIN)
    at.free = 51 * MARGIN
    await download.wrote(2 * MARGIN)
    at.free -= 2 * MARGIN
    const looks = at.looks
    await download.wrote(2 * MARGIN - 1)
    assert.equal(at.looks, looks, 'not every write is followed by a look')
    at.free -= 3 * MARGIN
    await assert.rejects(download.wrote(1), hasCode('DISK_LOW'))
  })

  test('is looked at more often where it is less than the interval', async () => {
    const { at, space } = withGuard({ checkEveryBytes: 1000 * MARGIN })
    const download = await space.reserve(70 * MARGIN)
    const looks = at.looks
    await download.wrote(10 * MARGIN)
    assert.equal(at.looks, looks + 1)
  })

  test('counts with what was refused, until that fits or a day is over', async () => {
    const clock = { ms: 0 }
    const { at, space } = withGuard({ now: () => clock.ms })
    assert.deepEqual(await space.state(), {
      freeBytes: 100 * MARGIN,
      totalBytes: 100 * MARGIN,
      reservedBytes: 0,
      minBytes: 20 * MARGIN,
      neededBytes: 0,
      low: false,
    })
    await assert.rejects(space.reserve(90 * MARGIN), hasCode('DISK_LOW'))
    assert.equal((await space.state()).neededBytes, 90 * MARGIN)
    assert.equal((await space.state()).low, true)
    await space.assertRoom()
    clock.ms = 24 * 3_600_000
    assert.equal((await space.state()).low, false)
    await assert.rejects(space.reserve(90 * MARGIN), hasCode('DISK_LOW'))
    at.free = 200 * MARGIN
    ;(await space.reserve(90 * MARGIN)).end()
    at.free = 100 * MARGIN
    assert.equal((await space.state()).low, false)
  })
})
