import type { Log } from '../log.ts'
import type { Item } from '../media.ts'
import type { Screen } from '../screen.ts'
import type { Disk } from '../storage/disk.ts'
import type { Outcome } from '../sync/report.ts'
import type { Watch } from '../sync/watch.ts'
import { bytesText, clockText } from '../units.ts'

/** Shows how far a run is: redrawn lines on a terminal, otherwise a line of the log for each item and now and then. */
export interface Progress {
  watch: Watch
  /** The same disk, whose reading of whole files is shown. */
  reading(disk: Disk): Disk
  /** So many bytes are to be read in all. */
  expectReading(bytes: number): void
  /** Takes the lines away; nothing is shown any more. */
  end(): void
}

interface InHand {
  item: Item
  /** Null until its object was looked at. */
  fetch: { startedMs: number; bytes: number; sizeBytes: number } | null
}

const REDRAW_MS = 100
const LINE_MS = 10_000
const RATE_WINDOW_MS = 10_000
const MOST_ROWS = 8
const NAME_LENGTH = 32

export function createProgress({
  screen,
  log,
  now = () => performance.now(),
}: {
  screen: Screen | null
  log: Log
  now?: () => number
}): Progress {
  const tally = createTally(now)
  const draw = (on: Screen) => {
    tally.rate.sample()
    const rows = tally.rows()
    const hidden = rows.length - MOST_ROWS
    const shown = hidden > 0 ? [...rows.slice(0, MOST_ROWS), `  and ${hidden} more`] : rows
    on.draw([...shown, sentence(tally.totals())].filter((line) => line !== ''))
  }
  const tell = () => {
    tally.rate.sample()
    const { atWork, ...fields } = tally.totals()
    if (atWork) log.info(fields, 'progress')
  }
  const timer = screen === null ? setInterval(tell, LINE_MS) : setInterval(draw, REDRAW_MS, screen)
  timer.unref()
  return {
    ...tally,
    watch: {
      ...tally.watch,
      settled(report) {
        tally.watch.settled(report)
        const { item, outcome, archivePath: path, sizeBytes } = report
        // Why it is not archived was logged as it happened, with what to do about it.
        const fields = { item: item.id, media: item.media.mediaId, outcome, path, sizeBytes }
        if (screen === null) log.info(fields, 'item settled')
      },
    },
    end() {
      clearInterval(timer)
      screen?.draw([])
    },
  }
}

interface Totals {
  settled: Partial<Record<Outcome, number>>
  inHand: number
  bytes: number
  /** Of what is claimed; more may be claimed later. */
  ofBytes: number
  filesRead: number
  bytesRead: number
  /** Null where nobody knows beforehand. */
  ofBytesRead: number | null
  bytesPerSecond: number
  etaSeconds: number | null
  atWork: boolean
}

/** What the watched work adds up to. */
function createTally(now: () => number) {
  const inHand = new Map<number, InHand>()
  const settled: Totals['settled'] = {}
  const read = { open: new Set<string>(), files: 0, bytes: 0, ofBytes: null as number | null }
  const rate = createRate(now)
  let settledBytes = 0
  const watch: Watch = {
    claimed(items) {
      for (const item of items) inHand.set(item.id, { item, fetch: null })
    },
    fetching(item, sizeBytes) {
      inHand.set(item.id, { item, fetch: { startedMs: now(), bytes: 0, sizeBytes } })
    },
    fetched({ id }, bytes) {
      const fetch = inHand.get(id)?.fetch
      if (fetch) fetch.bytes += bytes
      rate.add(bytes)
    },
    settled({ item: { id }, outcome }) {
      settledBytes += inHand.get(id)?.fetch?.bytes ?? 0
      inHand.delete(id)
      settled[outcome] = (settled[outcome] ?? 0) + 1
    },
    // Their files are shown while they are read.
    released() {},
  }
  const reading = (disk: Disk): Disk => ({
    ...disk,
    async hash(path, signal) {
      read.open.add(path)
      try {
        const found = await disk.hash(path, signal)
        read.files += 1
        read.bytes += found.sizeBytes
        rate.add(found.sizeBytes)
        return found
      } finally {
        read.open.delete(path)
      }
    },
    async *chunks(path, signal) {
      read.open.add(path)
      try {
        for await (const chunk of disk.chunks(path, signal)) {
          read.bytes += chunk.length
          rate.add(chunk.length)
          yield chunk
        }
        read.files += 1
      } finally {
        read.open.delete(path)
      }
    },
  })
  const totals = (): Totals => {
    const rows = [...inHand.values()]
    const bytes = settledBytes + sum(rows.map(({ fetch }) => fetch?.bytes ?? 0))
    const ofBytes = settledBytes + sum(rows.map(sizeOf))
    const perSecond = rate.perSecond()
    const left = ofBytes - bytes + Math.max(0, (read.ofBytes ?? 0) - read.bytes)
    return {
      settled: { ...settled },
      inHand: inHand.size,
      bytes,
      ofBytes,
      filesRead: read.files,
      bytesRead: read.bytes,
      ofBytesRead: read.ofBytes,
      bytesPerSecond: Math.round(perSecond),
      etaSeconds: perSecond > 0 && left > 0 ? Math.ceil(left / perSecond) : null,
      atWork: inHand.size + read.open.size > 0,
    }
  }
  const rows = () => [
    ...[...inHand.values()].flatMap((row) => rowText(row, now())),
    ...[...read.open].map((path) => `  reading again ${path}`),
  ]
  const expectReading = (bytes: number) => {
    read.ofBytes = Math.round(bytes)
  }
  return { watch, reading, expectReading, totals, rows, rate }
}

function sentence(totals: Totals): string {
  const { settled, inHand, bytes, ofBytes, bytesRead, ofBytesRead, bytesPerSecond } = totals
  const readOf = ofBytesRead === null ? '' : ` of ${bytesText(ofBytesRead)}`
  return [
    ...Object.entries(settled).map(([outcome, count]) => `${count} ${outcome}`),
    ...(inHand > 0 ? [`${inHand} in hand`] : []),
    ...(ofBytes > 0 ? [`${bytesText(bytes)} of ${bytesText(ofBytes)}`] : []),
    ...(bytesRead > 0 ? [`${bytesText(bytesRead)}${readOf} read again`] : []),
    ...(bytesPerSecond > 0 ? [`${bytesText(bytesPerSecond)}/s`] : []),
    ...(totals.etaSeconds === null ? [] : [`${clockText(totals.etaSeconds)} left`]),
  ].join(', ')
}

/** Nothing for an item that waits for its turn. */
function rowText({ item, fetch }: InHand, nowMs: number): string[] {
  if (fetch === null) return []
  const { mediaId, filename, objectKey } = item.media
  const name = `media ${mediaId} ${filename ?? objectKey}`
  const short = name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}…` : name
  const head = `  ${short.padEnd(NAME_LENGTH)}`
  const { bytes, sizeBytes, startedMs } = fetch
  if (bytes >= sizeBytes) return [`${head}  ${bytesText(sizeBytes)}, checking and filing`]
  const perSecond = (bytes * 1000) / Math.max(nowMs - startedMs, 1)
  const left = bytes > 0 ? `, ${clockText((sizeBytes - bytes) / perSecond)} left` : ''
  const percent = Math.floor((bytes * 100) / sizeBytes)
  return [`${head}  ${percent}% of ${bytesText(sizeBytes)}, ${bytesText(perSecond)}/s${left}`]
}

function sizeOf({ item, fetch }: InHand): number {
  return fetch?.sizeBytes ?? item.media.declaredBytes ?? 0
}

/** Bytes a second over the last ten seconds; the time since the first byte while that is less. */
function createRate(now: () => number) {
  let moved = 0
  let samples: { atMs: number; moved: number }[] = []
  return {
    add(bytes: number) {
      if (samples.length === 0) samples.push({ atMs: now(), moved })
      moved += bytes
    },
    sample() {
      const atMs = now()
      if (samples.length > 0) samples.push({ atMs, moved })
      samples = samples.filter((sample) => atMs - sample.atMs <= RATE_WINDOW_MS)
    },
    perSecond() {
      const first = samples[0]
      return first === undefined
        ? 0
        : ((moved - first.moved) * 1000) / Math.max(now() - first.atMs, 1)
    },
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
