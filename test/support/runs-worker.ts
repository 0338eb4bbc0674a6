/** A process that syncs again and again, as `start` does, when it is told to; and tells how much memory it holds. */
import { readFileSync } from 'node:fs'
import { createProgress } from '../../src/commands/progress.ts'
import { syncAsRun } from '../../src/commands/sync-run.ts'
import { parseConfig } from '../../src/config.ts'
import { createStopStack } from '../../src/lifecycle.ts'
import { createLog } from '../../src/log.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { measureArchive, openMetrics } from '../../src/open/metrics.ts'
import { openRuns } from '../../src/open/runs.ts'
import { openLinks, openSync } from '../../src/open.ts'

/** What the process answers to each run. */
export interface RunMemory {
  archived: number
  /** After everything was collected that can be; bytes. */
  heap: number
  resident: number
}

const config = parseConfig(process.env, {
  needs: new Set(['database', 'bucket']),
  readFile: (path) => readFileSync(path, 'utf8'),
  shadow: false,
})
const logTail = createLogTail()
const destination = { write: () => true }
const log = createLog({ ...config.log, also: logTail.add, destination, secrets: [] })
const stops = createStopStack({ log })
const program = {
  ...{ version: '0', searchPath: process.env.PATH, home: process.env.HOME },
  ...{ log, logTail, stops, reached: () => {} },
}
const { metrics, watched, program: measured } = openMetrics(config, program)
const links = openLinks(config, measured)
measureArchive(metrics, config, links.database)
const runs = openRuns(config, measured, { database: links.database, listeners: [metrics.runs] })
const service = await openSync(config, measured, links)
metrics.addSpace(() => service.space.state())
const { signal } = new AbortController()

process.on('message', async () => {
  const shown = createProgress({ screen: null, log })
  const progress = { ...shown, watch: watched(shown.watch) }
  const parts = { service, runs, progress, drain: signal, abort: signal }
  const { summary } = await syncAsRun(config, parts, 'schedule')
  await metrics.text()
  globalThis.gc?.()
  const { heapUsed: heap, rss: resident } = process.memoryUsage()
  process.send?.({ archived: summary?.items.archived ?? 0, heap, resident } satisfies RunMemory)
})
process.on('disconnect', async () => {
  await stops.stopAll()
  process.exit(0)
})
