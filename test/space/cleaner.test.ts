import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { filesInBoth, movableFiles } from '../../src/db/second-files.ts'
import { AppError } from '../../src/errors.ts'
import type { CleanParts } from '../../src/space/clean.ts'
import { type CleanableDisk, cleanDisk, createMakeRoom, planDisk } from '../../src/space/cleaner.ts'
import type { MovingParts } from '../../src/space/moving.ts'
import type { Shelf } from '../../src/space/units.ts'
import { openDisk } from '../../src/storage/disk.ts'
import { seeFile } from '../../src/storage/removal.ts'
import { finishMove, moveFile } from '../../src/sync/move.ts'
import type { SpaceState } from '../../src/sync/space.ts'
import { type Released, type Second, withReleased, withSecond } from '../support/second.ts'
import { listeningLog, never, openWorker, type Site } from '../support/worker.ts'

const GIB = 2 ** 30
const HOUR_MS = 3_600_000

/** A disk of a TiB. */
function roomOf(freeBytes: number, minBytes: number): SpaceState {
  const low = freeBytes < minBytes
  return { freeBytes, totalBytes: 1024 * GIB, reservedBytes: 0, minBytes, neededBytes: 0, low }
}

function movingOf({ database, archiveDir }: Site, { parts }: Second): MovingParts {
  return {
    movable: (after) => movableFiles(database, { after, limit: 100, ageMs: 0 }),
    inBoth: (after) => filesInBoth(database, { after, limit: 100 }),
    see: (path) => seeFile(archiveDir, path),
    placeOf: (path) => path,
    move: (file, signal) => moveFile(parts, file, signal),
    finish: (file, signal) => finishMove(parts, file, signal),
  }
}

interface Scene extends Released {
  lines: ReturnType<typeof listeningLog>['lines']
  totalBytes: number
  /** Bytes of the smallest of them. */
  leastBytes: number
  /** From which archived files alone may go, with so much room on it. */
  disk(state: () => SpaceState, second?: Second): CleanableDisk<CleanParts>
  /** How many files are in the archive. */
  here(): Promise<number>
}

/** So many files in the archive, all of which may be moved to the second bucket. */
async function withMovable(t: TestContext, count: number): Promise<Scene> {
  const released = await withReleased(t, { count })
  const { site, second, media } = released
  const sizes = media.map(({ bytes }) => bytes.length)
  const { log, lines } = listeningLog()
  return {
    ...released,
    lines,
    totalBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
    leastBytes: Math.min(...sizes),
    disk: (state, through = second) => ({
      root: site.archiveDir,
      state: async () => state(),
      targetOf: () => 0,
      parts: {
        shelves: [],
        minAgeMs: 0,
        owners: async () => [],
        sizesInNeed: async () => new Set(),
        now: () => new Date(),
        moving: movingOf(site, through),
        node: 'here',
        begin: through.parts.begin,
        end: through.parts.end,
        whileWhole: async () => false,
        verify: async () => {},
        log,
      },
    }),
    here: async () => (await second.movable()).length,
  }
}

describe('moves to the second bucket', { concurrency: 2 }, () => {
  for (const [what, state, target] of [
    ['FREE_SPACE_TARGET asks for', roomOf(GIB, 2 * GIB), 400 * 1024 * GIB],
    ['FREE_SPACE_MIN asks for', roomOf(GIB, 1025 * GIB), 0],
    ['one download needs', { ...roomOf(500 * GIB, GIB), neededBytes: 1024 * GIB, low: true }, 0],
    [
      'one download needs, and all files together have,',
      { ...roomOf(500 * GIB, GIB), neededBytes: 600 * GIB, low: true },
      0,
    ],
  ] as const)
    test(`nothing for more room than the disk can have: ${what} more`, async (t) => {
      const { disk, here, lines } = await withMovable(t, 2)
      const beyond = { ...disk(() => state), targetOf: () => target }
      const planned = await planDisk(beyond)
      assert.deepEqual([planned.wantedBytes, planned.moving.moves], [0, []])
      const clock = { ms: 0 }
      const makeRoom = createMakeRoom([beyond], { signal: never, now: () => clock.ms })
      await makeRoom()
      clock.ms = 24 * HOUR_MS
      await makeRoom()
      assert.equal(await here(), 2)
      const warned = lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
      assert.deepEqual(warned, [planned.beyond], 'and says so once')
    })

  test('files for a download that fits once they are gone', async (t) => {
    const { disk, leastBytes, here } = await withMovable(t, 2)
    const state = { ...roomOf(500 * GIB, GIB), neededBytes: 499 * GIB + leastBytes, low: true }
    await cleanDisk(await planDisk(disk(() => state)), { signal: never })
    assert.equal(await here(), 1)
  })

  test('no more where that makes no room, as under snapshots, for a day', async (t) => {
    const { disk, here, lines, totalBytes } = await withMovable(t, 3)
    const clock = { ms: 0 }
    const makeRoom = createMakeRoom([disk(() => roomOf(0, totalBytes))], {
      signal: never,
      now: () => clock.ms,
      doubts: { fromBytes: 1, waitMs: 0 },
    })
    for (; clock.ms < 24 * HOUR_MS; clock.ms += HOUR_MS / 6) {
      await makeRoom()
      assert.equal(await here(), 2)
    }
    assert.ok(lines.some(({ message }) => /hardly more room: it has snapshots/.test(message)))
    await makeRoom()
    assert.equal(await here(), 1)
  })

  test('ever more seldom where little is wanted and never there', async (t) => {
    const { disk, here, leastBytes } = await withMovable(t, 6)
    const clock = { ms: 0 }
    const lacking = disk(() => roomOf(0, leastBytes))
    const makeRoom = createMakeRoom([lacking], { signal: never, now: () => clock.ms })
    const left: number[] = []
    for (; clock.ms <= 2 * HOUR_MS; clock.ms += HOUR_MS / 6) {
      await makeRoom()
      left.push(await here())
    }
    assert.deepEqual(left, [5, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2])
  })

  test('on where the file system tells late of what it freed', async (t) => {
    const { disk, here, totalBytes } = await withMovable(t, 3)
    let looks = 0
    let free = 0
    const late = disk(() => {
      // At the third look after the first file went.
      if (looks > 0 && ++looks === 4) free = totalBytes - 1
      return roomOf(free, totalBytes)
    })
    const { moving } = late.parts
    assert.ok(moving)
    const { move } = moving
    moving.move = (...file) => {
      looks ||= 1
      return move(...file)
    }
    const doubts = { fromBytes: 1, waitMs: 10_000 }
    const done = await cleanDisk(await planDisk(late), { signal: never, doubts })
    assert.deepEqual([done.inVain, await here()], [false, 0])
  })

  test('nothing where the disk refuses writes although bytes are free: nobody sees what it lacks', async (t) => {
    const { disk, here } = await withMovable(t, 1)
    const full = disk(() => roomOf(500 * GIB, GIB))
    await createMakeRoom([full], { signal: never })({ refused: true })
    assert.equal(await here(), 1)
  })

  test('no more once there is room, however that came', async (t) => {
    const { disk, here, totalBytes } = await withMovable(t, 3)
    let free = 0
    const planned = await planDisk(disk(() => roomOf(free, totalBytes)))
    const { moving } = planned.disk.parts
    assert.ok(moving)
    const { move } = moving
    moving.move = (...file) => {
      free = totalBytes
      return move(...file)
    }
    await cleanDisk(planned, { signal: never })
    assert.equal(await here(), 2)
  })

  test('nothing that another node makes the room with', async (t) => {
    const { disk, here, site, second, leastBytes, totalBytes } = await withMovable(t, 3)
    const theirs = await withSecond(t, site, await openWorker(t, site), second.demo)
    const free = async () => {
      const files = await second.movable()
      const left = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
      return roomOf(totalBytes - left, leastBytes)
    }
    const plans = [second, theirs].map((through) =>
      planDisk({ ...disk(() => roomOf(0, 0), through), state: free }),
    )
    const [first, late] = await Promise.all(plans)
    assert.ok(first && late)
    await cleanDisk(first, { signal: never })
    await cleanDisk(late, { signal: never })
    assert.equal(await here(), 2)
  })
})

/** The same disk with ERROR_DIR on it, to which something may be rejected that may go. */
async function withRejected({ errorDir }: Site, disk: CleanableDisk<CleanParts>) {
  const errorDisk = await openDisk(errorDir)
  const owner = {
    item: 3,
    mediaId: 7,
    sha256: null,
    state: 'rejected' as const,
    damaged: false,
    leased: false,
    changedAt: new Date(0),
    restedMs: 1,
    approved: false,
    siblingInNeed: false,
  }
  const shelves: Shelf[] = [{ area: 'errors', disk: errorDisk, folder: '' }]
  const entries = { begin: async () => 1, end: async () => {} }
  const parts = { ...disk.parts, shelves, owners: async () => [owner], ...entries }
  return {
    disk: { ...disk, parts },
    async reject() {
      const file = '7-3.1-film.mp4'
      await writeFile(join(errorDir, file), 'rejected once')
      await writeFile(join(errorDir, `${file}.report.json`), JSON.stringify({ file }))
    },
    lies: () => errorDisk.list(''),
  }
}

describe('without moves', () => {
  async function withRefusing(t: TestContext) {
    const scene = await withMovable(t, 0)
    const refusing = await withRejected(
      scene.site,
      scene.disk(() => roomOf(500 * GIB, GIB)),
    )
    const clock = { ms: 0 }
    const options = { signal: never, now: () => clock.ms }
    /** After how many minutes what was rejected meanwhile went. */
    const goneAfter = async (makeRoom: () => Promise<void>) => {
      await refusing.reject()
      for (let minutes = 0; ; minutes += 10, clock.ms += HOUR_MS / 6) {
        await makeRoom()
        if ((await refusing.lies()).length === 0) return minutes
        assert.ok(minutes < 1440)
      }
    }
    return { ...scene, ...refusing, clock, options, goneAfter }
  }

  test('room is made where writes are refused, ever more seldom while it does not help, and soon again once it did', async (t) => {
    const { disk, options, goneAfter } = await withRefusing(t)
    const makeRoom = createMakeRoom([disk], options)
    await makeRoom()
    const after: number[] = []
    for (const helped of [false, false, false, false, true, true, false])
      after.push(await goneAfter(() => makeRoom({ refused: true, helped })))
    assert.deepEqual(after, [0, 10, 20, 40, 80, 10, 10])
  })

  test('nothing goes where writes are refused for a setting beyond the whole disk', async (t) => {
    const { disk } = await withRefusing(t)
    const { wantedBytes, beyond } = await planDisk({ ...disk, targetOf: () => 1025 * GIB }, true)
    assert.equal(wantedBytes, 0)
    assert.match(beyond ?? '', /nothing goes for that/)
  })

  test('a disk beside it where nothing may go does not hurry it', async (t) => {
    const { disk, site, options, reject, lies, clock, totalBytes } = await withRefusing(t)
    const beside = { ...disk, root: site.archiveDir, parts: { ...disk.parts, shelves: [] } }
    const withShelf = [
      { area: 'withdrawn' as const, disk: await openDisk(site.archiveDir), folder: 'none' },
    ]
    const other = {
      ...beside,
      state: async () => roomOf(0, totalBytes + 1),
      parts: { ...beside.parts, shelves: withShelf },
    }
    const doubts = { fromBytes: 1, waitMs: 0 }
    const low = { ...disk, state: async () => roomOf(0, GIB) }
    const makeRoom = createMakeRoom([low, other], { ...options, doubts })
    await reject()
    await makeRoom()
    assert.deepEqual(await lies(), [])
    await reject()
    clock.ms = 23 * HOUR_MS
    await makeRoom()
    assert.equal((await lies()).length, 2)
  })
})

test('what may go here does, although the second bucket is away, which is told', async (t) => {
  const { disk, site, second, totalBytes, lines } = await withMovable(t, 1)
  const rejected = await withRejected(
    site,
    disk(() => roomOf(0, totalBytes)),
  )
  await rejected.reject()
  const { moving } = rejected.disk.parts
  assert.ok(moving)
  const [movable] = await second.movable()
  assert.ok(movable)
  const copy = { bucketId: 'b', key: 'k', etag: 'e', versionId: null, sizeBytes: 1, sha256: 's' }
  const cutOff = { ...movable, copy, verifiedAt: new Date(0), removed: false }
  moving.inBoth = async (after) => (after === 0 ? [cutOff] : [])
  moving.finish = async () => {
    throw new AppError('BUCKET_UNAVAILABLE', 'the second bucket is away')
  }
  await createMakeRoom([rejected.disk], { signal: never })()
  assert.deepEqual(await rejected.lies(), [])
  const told = lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
  assert.deepEqual(told, ['no more can be moved to the second bucket now', 'made room on the disk'])
})
