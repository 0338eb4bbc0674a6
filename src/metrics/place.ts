import { Gauge, type Registry } from 'prom-client'
import type { CheckResult } from '../serve/health.ts'
import { createCached } from './cached.ts'

/** The file system of the archive, in bytes. */
export interface Room {
  freeBytes: number
  sizeBytes: number
}

/** A disk that hangs holds a thread for each question. */
const FRESH_MS = 10_000
const PATIENCE_MS = 1_000

/** The disk that the archive lies on; left out while it cannot be asked. */
export function addRoomMetrics(registry: Registry, readRoom: () => Promise<Room>): void {
  const room = createCached(readRoom, { freshMs: FRESH_MS, patienceMs: PATIENCE_MS })
  const add = (name: string, help: string, value: (room: Room) => number) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const reading = await room()
        if (reading === null) this.remove()
        else this.set(value(reading.value))
      },
    })
  }
  add(
    'strongroom_archive_free_bytes',
    'Free space where ARCHIVE_DIR lies, for the user that Strongroom runs as.',
    ({ freeBytes }) => freeBytes,
  )
  add(
    'strongroom_archive_size_bytes',
    'Size of the file system where ARCHIVE_DIR lies.',
    ({ sizeBytes }) => sizeBytes,
  )
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
