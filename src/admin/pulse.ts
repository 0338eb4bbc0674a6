import { damagedFiles } from '../db/damaged.ts'
import { type Gauges, readGauges } from '../db/gauges.ts'
import {
  countFresh,
  countStates,
  estimateItems,
  itemsInWork,
  type ListedItem,
  listItems,
} from '../db/item-list.ts'
import { listRuns } from '../db/runs.ts'
import { type AppError, toAppError } from '../errors.ts'
import type { ItemState } from '../item-states.ts'
import type { Run } from '../runs.ts'
import type { DiskRoom } from '../storage/disk.ts'
import type { AdminParts, HealthVerdict } from './parts.ts'

/** What the first page shows: read once for all who look, however many. */
export interface Beat {
  at: Date
  inWork: readonly ListedItem[]
  runs: readonly Run[]
  calm: Calm
}

/** What changes slowly, and is read less often. */
export interface Calm {
  at: Date
  gauges: Gauges
  /** Approved rows that nothing was begun of; no further than {@link MOST_COUNTED}. */
  fresh: number
  counts: Partial<Record<ItemState, number>>
  estimated: number
  /** What needs a person and was acknowledged by nobody. */
  unseen: readonly ListedItem[]
  unseenCounts: Partial<Record<ItemState, number>>
  damaged: Awaited<ReturnType<typeof damagedFiles>>
  storage: DiskRoom | null
  health: HealthVerdict
}

export type Pulse = { beat: Beat; problem: null } | { beat: Beat | null; problem: AppError }

export const MOST_COUNTED = 1_000
export const statesForPeople = ['held', 'rejected', 'missing', 'source_differs', 'lost'] as const
const counted = [
  'waiting',
  'withdrawn',
  'kept',
  'archived',
  'releasing',
  'released',
  'moved',
] as const

const BEAT_MS = 2_000
const CALM_MS = 10_000
const MOST_IN_WORK = 30
const RUNS_SHOWN = 8
const UNSEEN_SHOWN = 8

export interface PulseSource {
  /** At most two seconds old. */
  now(): Promise<Pulse>
  /** Told of each beat; the database is asked only while somebody listens. @returns what ends it */
  listen(hear: (pulse: Pulse) => void): () => void
}

/** @param options.nowMs a clock that only goes forward */
export function createPulse(
  parts: AdminParts,
  { nowMs = () => performance.now() } = {},
): PulseSource {
  const listeners = new Set<(pulse: Pulse) => void>()
  let latest: { pulse: Pulse; atMs: number } | null = null
  let flight: Promise<Pulse> | null = null
  let calm: { calm: Calm; atMs: number } | null = null
  let timer: NodeJS.Timeout | null = null

  const fly = async (): Promise<Pulse> => {
    try {
      if (calm === null || nowMs() - calm.atMs >= CALM_MS)
        calm = { calm: await readCalm(parts), atMs: nowMs() }
      const beat = await readBeat(parts, calm.calm)
      latest = { pulse: { beat, problem: null }, atMs: nowMs() }
    } catch (error) {
      const problem = toAppError(error)
      latest = { pulse: { beat: latest?.pulse.beat ?? null, problem }, atMs: nowMs() }
    }
    flight = null
    return latest.pulse
  }
  const now = async () => {
    if (latest !== null && nowMs() - latest.atMs < BEAT_MS / 2) return latest.pulse
    flight ??= fly()
    return flight
  }
  const tick = async () => {
    const pulse = await now()
    for (const hear of listeners) hear(pulse)
  }
  return {
    now,
    listen(hear) {
      listeners.add(hear)
      timer ??= setInterval(() => void tick(), BEAT_MS).unref()
      return () => {
        listeners.delete(hear)
        if (listeners.size > 0 || timer === null) return
        clearInterval(timer)
        timer = null
      }
    },
  }
}

async function readBeat({ database, backend }: AdminParts, calm: Calm): Promise<Beat> {
  const tables = await backend()
  const [inWork, runs] = await Promise.all([
    itemsInWork(database, tables, MOST_IN_WORK),
    listRuns(database, { job: null, before: null, limit: RUNS_SHOWN }),
  ])
  return { at: new Date(), inWork, runs, calm }
}

async function readCalm({ database, backend, storage, health }: AdminParts): Promise<Calm> {
  const tables = await backend()
  const most = MOST_COUNTED
  const [gauges, fresh, counts, unseenCounts, estimated] = await Promise.all([
    readGauges(database, tables),
    countFresh(database, tables, most),
    countStates(database, counted, { most, unseen: false }),
    countStates(database, statesForPeople, { most, unseen: true }),
    estimateItems(database),
  ])
  const page = { states: statesForPeople, unseen: true, before: null, limit: UNSEEN_SHOWN }
  return {
    at: new Date(),
    gauges,
    fresh,
    counts,
    unseenCounts,
    estimated,
    unseen: await listItems(database, tables, page),
    damaged: await damagedFiles(database, UNSEEN_SHOWN, { unseen: true }),
    storage: await storage(),
    health: await health(),
  }
}
