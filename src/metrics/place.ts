import { Gauge, type Registry } from 'prom-client'
import type { CheckResult } from '../serve/health.ts'
import type { DiskRoom } from '../storage/disk.ts'
import type { SpaceState } from '../sync/space.ts'
import { createCached } from './cached.ts'

/** A disk that hangs holds a thread for each question. */
const FRESH_MS = 10_000
const PATIENCE_MS = 1_000

/** Makes gauges of one reading of the disk; left out while it cannot be asked. */
function createAdder<T>(registry: Registry, read: () => Promise<T>) {
  const latest = createCached(read, { freshMs: FRESH_MS, patienceMs: PATIENCE_MS })
  return (name: string, help: string, value: (reading: T) => number) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const reading = await latest()
        if (reading === null) this.remove()
        else this.set(value(reading.value))
      },
    })
  }
}

/** What the syncer of this process keeps of the disk for itself. */
export function addSpaceMetrics(registry: Registry, read: () => Promise<SpaceState>): void {
  const add = createAdder(registry, read)
  add(
    'strongroom_archive_reserved_bytes',
    'What downloads of this process that are under way are still going to write.',
    ({ reservedBytes }) => reservedBytes,
  )
  add(
    'strongroom_archive_free_minimum_bytes',
    'What is to stay free: FREE_SPACE_MIN.',
    ({ minBytes }) => minBytes,
  )
}

/** The disk that the archive lies on. */
export function addRoomMetrics(registry: Registry, readRoom: () => Promise<DiskRoom>): void {
  const add = createAdder(registry, readRoom)
  add(
    'strongroom_archive_free_bytes',
    'Free space where ARCHIVE_DIR lies, for the user that Strongroom runs as.',
    ({ freeBytes }) => freeBytes,
  )
  add(
    'strongroom_archive_size_bytes',
    'Size of the file system where ARCHIVE_DIR lies.',
    ({ totalBytes }) => totalBytes,
  )
}

/** @param jumpedMs how long ago the database's clock was seen to have jumped; null while it runs steadily */
export function addClockMetrics(registry: Registry, jumpedMs: () => number | null): void {
  new Gauge({
    name: 'strongroom_clock_jumped_seconds',
    help: "How long ago the database's clock jumped, for which this process deletes no source; 0 while it runs steadily.",
    registers: [registry],
    collect() {
      this.set((jumpedMs() ?? 0) / 1_000)
    },
  })
}

/** What `/health/deep` says, which is asked for at most every five seconds, whoever asks. */
export function addHealthMetrics(
  registry: Registry,
  deep: () => Promise<{ checks: Record<string, CheckResult> }>,
): void {
  const add = (name: string, help: string, value: (result: CheckResult) => number) => {
    new Gauge({
      name,
      help,
      labelNames: ['check'],
      registers: [registry],
      async collect() {
        const { checks } = await deep()
        for (const [check, result] of Object.entries(checks)) this.set({ check }, value(result))
      },
    })
  }
  add(
    'strongroom_health_check',
    '1 where the last health check of this part went well, else 0.',
    ({ ok }) => Number(ok),
  )
  add(
    'strongroom_health_check_duration_seconds',
    'How long the last health check of this part took.',
    ({ latencyMs }) => latencyMs / 1_000,
  )
}
