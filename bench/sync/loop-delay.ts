/**
 * Loaded into the program under test (`node --import`): how late its event loop comes. Counts anew at SIGUSR2, and writes what
 * it counted to the file `LOOP_DELAY` at the end.
 */
import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 1
const NANOSECONDS = 1e6

export interface LoopDelay {
  p50Ms: number
  p99Ms: number
  maxMs: number
}

const path = process.env.LOOP_DELAY
if (path !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  process.on('SIGUSR2', () => delay.reset())
  process.on('exit', () => {
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS)
    const counted: LoopDelay = {
      p50Ms: late(delay.percentile(50)),
      p99Ms: late(delay.percentile(99)),
      maxMs: late(delay.max),
    }
    writeFileSync(path, JSON.stringify(counted))
  })
}
