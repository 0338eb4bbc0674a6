import { Counter, Gauge, type Registry } from 'prom-client'
import { isOver, type Job, jobs, type RunListener, runStatuses } from '../runs.ts'
import { createCached } from './cached.ts'

const FRESH_MS = 30_000
const PATIENCE_MS = 2_000

/** What became of the runs of this process. The label is `kind`, because Prometheus itself has one called job. */
export function addRunMetrics(registry: Registry): RunListener {
  const registers = [registry]
  const runs = new Counter({
    name: 'strongroom_runs_total',
    help: 'Runs of this process that are over, by what was done and how it came out.',
    labelNames: ['kind', 'status'],
    registers,
  })
  for (const kind of jobs)
    for (const status of runStatuses.filter(isOver)) runs.inc({ kind, status }, 0)
  const duration = new Gauge({
    name: 'strongroom_run_last_duration_seconds',
    help: 'How long the last run took that this process began and ended.',
    labelNames: ['kind'],
    registers,
  })
  return {
    ended({ job: kind, status, startedAt, endedAt }) {
      runs.inc({ kind, status })
      if (endedAt !== null && status !== 'skipped')
        duration.set({ kind }, (endedAt.getTime() - startedAt.getTime()) / 1_000)
    },
  }
}

/** @param read when a run of each kind last came to its end, on whichever node, in seconds since 1970 */
export function addLastRuns(
  registry: Registry,
  read: () => Promise<Partial<Record<Job, number>>>,
): void {
  const last = createCached(read, { freshMs: FRESH_MS, patienceMs: PATIENCE_MS })
  new Gauge({
    name: 'strongroom_run_last_success_timestamp_seconds',
    help: 'When a run last came to its end (success or partial), on any node; left out before the first one.',
    labelNames: ['kind'],
    registers: [registry],
    async collect() {
      const reading = await last()
      this.reset()
      for (const [kind, at] of Object.entries(reading?.value ?? {})) this.set({ kind }, at)
    },
  })
}
