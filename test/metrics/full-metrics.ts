import { createMetrics } from '../../src/metrics/metrics.ts'
import { createHealth } from '../../src/serve/health.ts'
import { createTraffic } from '../../src/serve/traffic.ts'

const gauges = {
  oldestApprovedSeconds: 12.5,
  leased: 3,
  releaseDue: 4,
  releasePaused: true,
  healPaused: false,
  damaged: 1,
  oldestReadingSeconds: 86_400,
}

const space = {
  freeBytes: 10,
  totalBytes: 100,
  reservedBytes: 4,
  minBytes: 5,
  neededBytes: 0,
  low: false,
}

/** With every part, as a node has them that does everything. */
export function fullMetrics() {
  const metrics = createMetrics({ version: '1.2.3' })
  const traffic = createTraffic()
  metrics.addTraffic(traffic)
  metrics.addArchive({
    gauges: async () => gauges,
    countByState: async () => ({ archived: 7, rejected: 2 }),
    releaseGraceMs: 86_400_000,
  })
  metrics.addLastRuns(async () => ({ sync: 1_700_000_000.5 }))
  metrics.addSpace(async () => space)
  metrics.addClock(() => 12_500)
  metrics.addRoom(async () => ({ freeBytes: 10, totalBytes: 100 }))
  metrics.addHealth(
    createHealth({ checks: { archive: async () => {}, database: () => Promise.reject() } }),
  )
  return { metrics, traffic }
}
