import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asRun } from '../../src/commands/as-run.ts'
import { AppError } from '../../src/errors.ts'
import type { Session } from '../../src/host.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { parse } from '../support/config.ts'
import { withWorker } from '../support/worker.ts'

for (const [stopped, status, code] of [
  [true, 'cancelled', null],
  [false, 'failed', 'CANCELLED'],
] as const)
  test(`work that broke off ${stopped ? 'at a signal is cancelled' : 'by itself has failed'}`, async (t) => {
    const { database, sql, parts } = await withWorker(t)
    const stop = new AbortController()
    const work = async (): Promise<never> => {
      if (stopped) stop.abort()
      throw new AppError('CANCELLED', 'it was stopped')
    }
    const program = { log: parts.log, logTail: createLogTail() } as Partial<Session['program']>
    const asked = {
      program: program as Session['program'],
      drain: stop.signal,
      database,
      kind: { job: 'recall', mode: 'live', alone: false },
    } as const
    await assert.rejects(asRun(parse(), asked, work, () => ({ items: {}, status: 'success' })))
    const runs = await sql`select status, error_code from strongroom.runs`
    assert.deepEqual([...runs], [{ status, error_code: code }])
  })
