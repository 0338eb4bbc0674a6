import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { lastSuccesses, readGauges } from '../db/gauges.ts'
import { countByState } from '../db/lookup.ts'
import { createMetrics, type Metrics } from '../metrics/metrics.ts'
import type { Program } from '../open.ts'
import { roomOf } from '../storage/disk.ts'
import { type Watch, watchBoth } from '../sync/watch.ts'
import { onceOpened } from '../waiting.ts'

/** The figures of this process, and the program that reports to them. */
export interface Measured {
  metrics: Metrics
  program: Program
  /** For the syncer; the same watch, told to the figures too. */
  watched(watch: Watch): Watch
}

export function openMetrics(config: Config, program: Program): Measured {
  const metrics = createMetrics(program)
  const { work } = metrics
  metrics.addRoom(() => roomOf(config.archive.dir))
  return {
    metrics,
    program: {
      ...program,
      failed: work.failed,
      reached(point, item) {
        work.reached(point, item.id)
        return program.reached(point, item)
      },
    },
    watched: (watch) =>
      watchBoth(watch, { fetching: ({ id }) => work.fetching(id), settled: work.settled }),
  }
}

/** Adds what the database tells; it may be away now. */
export function measureArchive(metrics: Metrics, config: Config, database: Database): void {
  const backend = onceOpened(() => openBackend(database, config.backend))
  metrics.addArchive({
    gauges: async () => readGauges(database, await backend()),
    countByState: () => countByState(database),
    releaseGraceMs: config.releaseGraceMs,
  })
  metrics.addLastRuns(() => lastSuccesses(database))
}
