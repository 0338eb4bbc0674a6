import { Counter, Histogram, type Registry } from 'prom-client'
import type { ErrorCode } from '../errors.ts'
import type { Point } from '../sync/parts.ts'
import type { ItemReport, Outcome } from '../sync/report.ts'

/** Whom an error came from. */
export type Dependency = 'database' | 'bucket'

/** Told what the syncer of this process does, as it does it. */
export interface WorkObserver {
  /** The bytes of an item's object begin to arrive. */
  fetching(item: number): void
  /** @param item its id */
  reached(point: Point, item: number): void
  settled(report: ItemReport): void
  failed(dependency: Dependency, code: ErrorCode): void
}

const OUTCOMES: readonly Outcome[] = [
  'archived',
  'rejected',
  'withdrawn',
  'held',
  'missing',
  'waiting',
  'left',
]

/** Which step ends at a point; it began at the item's point before. */
const STEPS: Partial<Record<Point, string>> = {
  downloaded: 'download',
  validated: 'validate',
  published: 'publish',
  recorded: 'record',
  released: 'release',
}
const BEGINNINGS: ReadonlySet<Point> = new Set(['release-claimed'])
const BUCKETS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1_800, 7_200]
/** Items that came to an end without passing their last point are forgotten, those that began longest ago first. */
const MOST_ITEMS = 10_000
/** They stand at 0 from the start, so that the first one shows as an increase. */
const OUTAGES: readonly [Dependency, ErrorCode][] = [
  ['database', 'DB_UNAVAILABLE'],
  ['database', 'DB_UNKNOWN'],
  ['bucket', 'BUCKET_UNAVAILABLE'],
  ['bucket', 'BUCKET_DENIED'],
  ['bucket', 'BUCKET_THROTTLED'],
]

/** What the syncer does. Labels are the words of our own tables: points, outcomes, error codes. */
export function addWorkMetrics(registry: Registry, clock: () => number): WorkObserver {
  const registers = [registry]
  const steps = new Histogram({
    name: 'strongroom_step_duration_seconds',
    help: 'How long an item took for a step; a release begins with reading its archived file again.',
    labelNames: ['step'],
    buckets: BUCKETS,
    registers,
  })
  const settled = new Counter({
    name: 'strongroom_items_settled_total',
    help: 'Items that the syncer of this process has settled, by what became of them.',
    labelNames: ['outcome'],
    registers,
  })
  const bytes = new Counter({
    name: 'strongroom_archived_bytes_total',
    help: 'Bytes of the media that the syncer of this process has archived.',
    registers,
  })
  const released = new Counter({
    name: 'strongroom_sources_released_total',
    help: 'Sources that this process has deleted from the bucket, or found gone.',
    registers,
  })
  const errors = new Counter({
    name: 'strongroom_dependency_errors_total',
    help: 'Requests to database or bucket that failed, by error code; a repetition counts again.',
    labelNames: ['dependency', 'code'],
    registers,
  })
  for (const outcome of OUTCOMES) settled.inc({ outcome }, 0)
  for (const [dependency, code] of OUTAGES) errors.inc({ dependency, code }, 0)
  const began = new Map<number, number>()
  const begin = (item: number) => {
    began.delete(item)
    began.set(item, clock())
    const [oldest] = began.keys()
    if (began.size > MOST_ITEMS && oldest !== undefined) began.delete(oldest)
  }
  return {
    fetching: begin,
    reached(point, item) {
      if (point === 'released') released.inc()
      if (BEGINNINGS.has(point)) return begin(item)
      const step = STEPS[point]
      const since = began.get(item)
      if (step === undefined || since === undefined) return
      steps.observe({ step }, (clock() - since) / 1_000)
      if (point === 'recorded' || point === 'released') began.delete(item)
      else begin(item)
    },
    settled({ item, outcome, sizeBytes }) {
      began.delete(item.id)
      settled.inc({ outcome })
      if (outcome === 'archived') bytes.inc(sizeBytes ?? 0)
    },
    failed: (dependency, code) => errors.inc({ dependency, code }),
  }
}
