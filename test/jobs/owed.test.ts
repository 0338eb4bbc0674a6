import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { createRuns, type RunStore } from '../../src/jobs/runs.ts'
import { createLog } from '../../src/log.ts'
import { createLogTail } from '../../src/log-tail.ts'
import type { Run } from '../../src/runs.ts'

test('two jobs that begin at once after an outage enter each owed run once, and forget none', async () => {
  let away = true
  const entered: string[] = []
  const gates: (() => void)[] = []
  const store: RunStore = {
    async enterPast(run: Run) {
      if (away) throw new AppError('DB_UNAVAILABLE', 'away')
      await new Promise<void>((resolve) => {
        gates.push(resolve)
      })
      entered.push(`${run.job} ${run.error?.code}`)
      return run
    },
    begin: async () => null,
    takePending: async () => null,
    renew: async () => true,
    end: async () => null,
    addEvents: async () => {},
    closeInterrupted: async () => [],
    forgetOld: async () => {},
  }
  const log = createLog({
    level: 'error',
    format: 'json',
    destination: { write: () => {} },
    secrets: [],
  })
  const runs = createRuns({ store, node: 'n', log, tail: createLogTail(), listeners: [] })
  const kind = (job: 'sync' | 'scrub') => ({ job, mode: 'live', alone: true }) as const
  const failure = (code: 'DB_UNAVAILABLE' | 'BUCKET_UNAVAILABLE' | 'DISK_FULL' | 'DB_AUTH') =>
    new AppError(code, code)
  await runs.failedToBegin(kind('sync'), 'schedule', failure('DB_UNAVAILABLE'), new Date())
  await runs.failedToBegin(kind('scrub'), 'schedule', failure('DISK_FULL'), new Date())
  await runs.failedToBegin(kind('sync'), 'schedule', failure('DB_AUTH'), new Date())
  await runs.failedToBegin(kind('scrub'), 'schedule', failure('BUCKET_UNAVAILABLE'), new Date())
  away = false
  let over = false
  const both = Promise.all([
    runs.begin(kind('sync'), 'schedule'),
    runs.begin(kind('scrub'), 'schedule'),
  ])
  void both.then(() => {
    over = true
  })
  while (!over) {
    gates.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const owed = entered.filter((text) => !text.endsWith('RUN_OVERLAPS'))
  assert.deepEqual(owed.sort(), [
    ...['scrub BUCKET_UNAVAILABLE', 'scrub DISK_FULL', 'sync DB_AUTH', 'sync DB_UNAVAILABLE'],
  ])
})
