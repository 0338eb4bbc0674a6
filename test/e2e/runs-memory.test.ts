/** `STRONGROOM_TEST_RUNS=1000 node test/run.ts test/e2e/runs-memory` measures it over as many runs. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RunMemory } from '../support/runs-worker.ts'
import { withService } from '../support/service.ts'

const MIB = 2 ** 20
const RUNS = Number(process.env.STRONGROOM_TEST_RUNS ?? 40)
/** What is compiled, and kept for a while, by the first runs. */
const WARM = Math.min(50, Math.floor(RUNS / 3))
const MOST_MIB = 4

test(`the memory after ${RUNS} runs is what it was after ${WARM}`, async (t) => {
  const service = await withService(t)
  await service.migrate()
  const worker = fork(join(import.meta.dirname, '../support/runs-worker.ts'), {
    env: { ...service.env, LOG_LEVEL: 'info' },
    execArgv: ['--expose-gc'],
  })
  t.after(() => worker.kill('SIGKILL'))
  const ended = once(worker, 'exit').then(([code]) => assert.fail(`it ended with ${code}`))
  // It is only waited for while a run is under way.
  ended.catch(() => {})
  const memories: RunMemory[] = []
  for (let n = 0; n < RUNS; n++) {
    await service.approve(1)
    worker.send('run')
    const [memory] = (await Promise.race([once(worker, 'message'), ended])) as [RunMemory]
    assert.equal(memory.archived, 1)
    memories.push(memory)
  }
  const median = (part: RunMemory[], of: 'heap' | 'resident') =>
    (part.map((memory) => memory[of]).toSorted((a, b) => a - b)[Math.floor(part.length / 2)] ?? 0) /
    MIB
  const width = Math.max(5, Math.floor((RUNS - WARM) / 5))
  const early = memories.slice(WARM, WARM + width)
  const late = memories.slice(-width)
  const said = (of: 'heap' | 'resident') =>
    `${of} ${median(early, of).toFixed(1)} MiB, then ${median(late, of).toFixed(1)} MiB`
  t.diagnostic(`${said('heap')}; ${said('resident')}`)
  assert.ok(median(late, 'heap') < median(early, 'heap') + MOST_MIB, said('heap'))
})
