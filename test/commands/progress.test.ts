import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { createProgress } from '../../src/commands/progress.ts'
import { createLog } from '../../src/log.ts'
import type { Item } from '../../src/media.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { reportOf } from '../../src/sync/report.ts'
import { bytesText, clockText } from '../../src/units.ts'

const MIB = 1024 * 1024

function itemOf(id: number, declaredBytes: number | null = null): Item {
  const media = {
    mediaId: id * 10,
    userId: 7,
    title: null,
    filename: `holiday ${id}.mp4`,
    contentType: 'video',
    mimeType: null,
    declaredBytes,
    objectKey: `uploads/${id}`,
    approvedAt: new Date(0),
  } as const
  const facts = { generation: 1, epoch: 1, state: 'claimed', attempts: 0, lastError: null } as const
  return { id, ...facts, media, intent: null, archivedAt: null, damaged: false }
}

/** A progress whose clock and timer the test turns. */
function watched(t: TestContext, kind: 'screen' | 'log') {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const clock = { ms: 0 }
  const drawn: (readonly string[])[] = []
  const logged: Record<string, unknown>[] = []
  const write = (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>)
  const log = createLog({ level: 'info', format: 'json', destination: { write }, secrets: [] })
  const screen = { draw: (lines: readonly string[]) => void drawn.push(lines), write: assert.fail }
  const now = () => clock.ms
  const progress = createProgress({ screen: kind === 'screen' ? screen : null, log, now })
  t.after(() => progress.end())
  return {
    progress,
    drawn,
    logged,
    last: () => drawn.at(-1) ?? [],
    pass(ms: number) {
      for (let step = 0; step < ms; step += 100) {
        clock.ms += 100
        t.mock.timers.tick(100)
      }
    },
  }
}

describe('on a terminal', () => {
  test('each item under way and all together have bytes, rate and time left', (t) => {
    const { progress, last, pass } = watched(t, 'screen')
    const { watch } = progress
    const [one, two, three] = [itemOf(1, 30 * MIB), itemOf(2, 70 * MIB), itemOf(3)]
    watch.claimed([one, two, three])
    pass(100)
    assert.deepEqual(last(), ['3 in hand, 0 B of 100.0 MiB'])
    watch.fetching(one, 20 * MIB)
    watch.fetched(one, 5 * MIB)
    pass(1000)
    assert.deepEqual(last(), [
      '  media 10 holiday 1.mp4            25% of 20.0 MiB, 5.0 MiB/s, 0:03 left',
      '3 in hand, 5.0 MiB of 90.0 MiB, 5.0 MiB/s, 0:17 left',
    ])
    watch.fetched(one, 15 * MIB)
    pass(1000)
    assert.deepEqual(last(), [
      '  media 10 holiday 1.mp4            20.0 MiB, checking and filing',
      '3 in hand, 20.0 MiB of 90.0 MiB, 10.0 MiB/s, 0:07 left',
    ])
    watch.settled(reportOf(one, 'archived'))
    watch.settled(reportOf(two, 'missing'))
    pass(100)
    assert.match(last()[0] ?? '', /^1 archived, 1 missing, 1 in hand, 20\.0 MiB of 20\.0 MiB, /)
  })

  test('a transfer that starts anew counts from the beginning', (t) => {
    const { progress, last, pass } = watched(t, 'screen')
    const item = itemOf(1)
    progress.watch.claimed([item])
    for (const bytes of [9 * MIB, 1 * MIB]) {
      progress.watch.fetching(item, 10 * MIB)
      progress.watch.fetched(item, bytes)
      pass(1000)
    }
    assert.match(last()[0] ?? '', /10% of 10\.0 MiB/)
    assert.match(last()[1] ?? '', /^1 in hand, 1\.0 MiB of 10\.0 MiB/)
  })

  test('the rate is that of the last ten seconds, and none is shown when nothing comes', (t) => {
    const { progress, last, pass } = watched(t, 'screen')
    const item = itemOf(1)
    progress.watch.fetching(item, 1000 * MIB)
    progress.watch.fetched(item, 400 * MIB)
    pass(20_000)
    assert.match(last()[1] ?? '', /^1 in hand, 400\.0 MiB of 1000\.0 MiB$/)
    for (let n = 0; n < 10; n++) {
      progress.watch.fetched(item, MIB)
      pass(1000)
    }
    assert.match(last()[1] ?? '', /, 1\.0 MiB\/s, 9:50 left$/)
  })

  test('it is drawn at most ten times a second, whatever happens meanwhile', (t) => {
    const { progress, drawn, pass } = watched(t, 'screen')
    const item = itemOf(1)
    progress.watch.fetching(item, 100 * MIB)
    for (let n = 0; n < 1000; n++) progress.watch.fetched(item, 1024)
    assert.equal(drawn.length, 0)
    pass(1000)
    assert.equal(drawn.length, 10)
  })

  test('many items show as eight lines and a number', (t) => {
    const { progress, last, pass } = watched(t, 'screen')
    for (let id = 1; id <= 20; id++) progress.watch.fetching(itemOf(id), MIB)
    pass(100)
    assert.equal(last().length, 10)
    assert.equal(last()[8], '  and 12 more')
  })

  test('an archived file that is read again is named, and its bytes count', async (t) => {
    const { progress, last, pass } = watched(t, 'screen')
    const read = Promise.withResolvers<{ sha256: string; sizeBytes: number; device: number }>()
    const disk = progress.reading({ hash: () => read.promise } as Partial<Disk> as Disk)
    const hashed = disk.hash('2026/11/42/holiday.mp4')
    pass(1000)
    assert.equal(last()[0], '  reading again 2026/11/42/holiday.mp4')
    read.resolve({ sha256: '', sizeBytes: 8 * MIB, device: 1 })
    await hashed
    pass(1000)
    assert.match(last().join('\n'), /^8\.0 MiB read again, /)
  })

  test('nothing is left of it, and nothing of it is logged', (t) => {
    const { progress, last, logged, drawn, pass } = watched(t, 'screen')
    progress.watch.fetching(itemOf(1), MIB)
    progress.watch.settled(reportOf(itemOf(2), 'archived'))
    pass(20_000)
    progress.end()
    assert.deepEqual(last(), [])
    const { length } = drawn
    pass(1000)
    assert.deepEqual([drawn.length, logged], [length, []])
  })
})

describe('without a terminal', () => {
  test('each item that is settled is a line of the log', (t) => {
    const { progress, logged } = watched(t, 'log')
    const [one, two] = [itemOf(1), itemOf(2)]
    const filed = { archivePath: '2026/1/holiday.mp4', sizeBytes: 5, sha256: 'ab' }
    progress.watch.settled({ ...reportOf(one, 'archived'), ...filed })
    progress.watch.settled(reportOf(two, 'held', 'changed'))
    assert.deepEqual(
      logged.map(({ time, level, ...line }) => line),
      [
        {
          item: 1,
          media: 10,
          outcome: 'archived',
          path: '2026/1/holiday.mp4',
          sizeBytes: 5,
          message: 'item settled',
        },
        {
          item: 2,
          media: 20,
          outcome: 'held',
          path: null,
          sizeBytes: null,
          message: 'item settled',
        },
      ],
    )
  })

  test('work that takes long tells every ten seconds how far it is, and idleness nothing', (t) => {
    const { progress, logged, pass } = watched(t, 'log')
    pass(30_000)
    assert.equal(logged.length, 0)
    const item = itemOf(1)
    progress.watch.claimed([item])
    progress.watch.fetching(item, 100 * MIB)
    for (let n = 0; n < 25; n++) {
      progress.watch.fetched(item, MIB)
      pass(1000)
    }
    const [first, second, ...more] = logged
    assert.deepEqual(more, [])
    assert.deepEqual(
      [first?.message, first?.inHand, first?.bytes, first?.ofBytes, first?.bytesPerSecond],
      ['progress', 1, 10 * MIB, 100 * MIB, MIB],
    )
    assert.equal(first?.etaSeconds, 90)
    assert.equal(second?.bytes, 20 * MIB)
  })
})

test('bytes and times are written for people', () => {
  assert.deepEqual([0, 1, 1023, 1024, 1.5 * MIB, 3 * 1024 * MIB, 2 ** 60].map(bytesText), [
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 MiB',
    '3.0 GiB',
    '1048576.0 TiB',
  ])
  assert.deepEqual([0, 0.2, 7, 60, 750, 11_100].map(clockText), [
    '0:00',
    '0:01',
    '0:07',
    '1:00',
    '12:30',
    '3:05:00',
  ])
})
