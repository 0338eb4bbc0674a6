import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Job, RunListener } from '../runs.ts'
import type { Health } from '../serve/health.ts'
import type { Exposition } from '../serve/metrics-route.ts'
import type { Traffic } from '../serve/traffic.ts'
import type { DiskRoom } from '../storage/disk.ts'
import type { SpaceState } from '../sync/space.ts'
import { type ArchiveSources, addArchiveMetrics } from './archive.ts'
import { addClockMetrics, addHealthMetrics, addRoomMetrics, addSpaceMetrics } from './place.ts'
import { addLastRuns, addRunMetrics } from './runs.ts'
import { addTrafficMetrics } from './traffic.ts'
import { addWorkMetrics, type WorkObserver } from './work.ts'

/** Where the figures come from; each part is added by whoever opens it. */
export interface Metrics extends Exposition {
  work: WorkObserver
  runs: RunListener
  addTraffic(traffic: Traffic): void
  addArchive(sources: ArchiveSources): void
  addLastRuns(read: () => Promise<Partial<Record<Job, number>>>): void
  addSpace(read: () => Promise<SpaceState>): void
  addClock(jumpedMs: () => number | null): void
  addRoom(readRoom: () => Promise<DiskRoom>): void
  addHealth(health: Pick<Health, 'deep'>): void
}

/** Gauges whose names end like a counter's; nothing here needs them. */
const MISNAMED = ['nodejs_active_resources', 'nodejs_active_handles', 'nodejs_active_requests']

/**
 * Makes the figures of this process, in a registry of its own.
 *
 * @param clock milliseconds, never going back
 */
export function createMetrics(
  { version }: { version: string },
  clock: () => number = () => performance.now(),
): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of MISNAMED) {
    registry.removeSingleMetric(name)
    registry.removeSingleMetric(`${name}_total`)
  }
  new Gauge({
    name: 'strongroom_build_info',
    help: 'Always 1; its label is the version of the program.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
  return {
    work: addWorkMetrics(registry, clock),
    runs: addRunMetrics(registry),
    addLastRuns: (read) => addLastRuns(registry, read),
    addSpace: (read) => addSpaceMetrics(registry, read),
    addClock: (jumpedMs) => addClockMetrics(registry, jumpedMs),
    addTraffic: (traffic) => addTrafficMetrics(registry, traffic),
    addArchive: (sources) => addArchiveMetrics(registry, sources),
    addRoom: (readRoom) => addRoomMetrics(registry, readRoom),
    addHealth: (health) => addHealthMetrics(registry, () => health.deep()),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  }
}
