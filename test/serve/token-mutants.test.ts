/**
 * The same run at any length: `PROPERTY_RUNS=1000000 node --test test/serve/token-mutants.test.ts` for the million, a
 * tenth of it over sockets; PROPERTY_SEED repeats one run.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isAppError } from '../../src/errors.ts'
import { createTokenVerifier } from '../../src/serve/token.ts'
import { withFileServer } from '../support/file-server.ts'
import { good, now, tokens } from '../support/hostile-tokens.ts'
import { createMutants, createRandom } from '../support/mutants.ts'
import { openPipeline } from '../support/pipeline.ts'

const runs = Number(process.env.PROPERTY_RUNS ?? 20_000)
const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31)
const batch = 100
/** What a heap may differ by between two looks at it, whatever the number of runs. */
const noiseBytes = 16 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const mebibytes = () => Math.round(process.memoryUsage().rss / 2 ** 20)

function heapBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

function verdictOn(token: string, verify: ReturnType<typeof createTokenVerifier>): string {
  try {
    verify(token, now)
    return 'believed'
  } catch (error) {
    return isAppError(error, 'TOKEN_INVALID') ? 'refused' : String(error)
  }
}

test(`no mutated token is believed, and judging them keeps nothing (seed ${seed})`, (t) => {
  const verify = createTokenVerifier(tokens)
  const mutant = createMutants(good, createRandom(seed))
  const count = runs - Math.floor(runs / 10)
  let base = 0
  for (let index = 0; index < count; index++) {
    if (index === Math.floor(count / 10)) base = heapBytes()
    const token = mutant()
    assert.equal(verdictOn(token, verify), 'refused', `${index}: ${JSON.stringify(token)}`)
  }
  const grown = heapBytes() - base
  t.diagnostic(
    `${count} tokens judged, heap grown by ${Math.round(grown / 1024)} KiB, resident ${mebibytes()} MiB`,
  )
  assert.ok(grown < noiseBytes, `the heap grew by ${grown} bytes`)
})

test(`no mutated token opens a file over a socket, and the server keeps nothing (seed ${seed})`, async (t) => {
  await withFileServer({ tokens, now: () => now }, async ({ file, listening, log }) => {
    await file('f.mp4', 'bytes', { media_id: 7 })
    const mutant = createMutants(good, createRandom(seed + 1))
    const pipeline = await openPipeline(listening.port)
    const [none, one] = await pipeline.ask('GET', ['/f.mp4', `/f.mp4?token=${good}`])
    assert.deepEqual([none?.status, one?.status], [401, 200])
    const batches = Math.ceil(runs / 10 / batch)
    let base = 0
    for (let index = 0; index < batches; index++) {
      if (index === Math.floor(batches / 10)) base = heapBytes()
      const tokens = Array.from({ length: batch }, mutant)
      const targets = tokens.map((token) => `/f.mp4?token=${encodeURIComponent(token)}`)
      const answers = await pipeline.ask('GET', targets)
      for (const [at, answer] of answers.entries())
        assert.deepEqual(answer, none, `${index}: ${JSON.stringify(tokens[at])}`)
      await log.requests(batch)
      log.lines.length = 0
    }
    const grown = heapBytes() - base
    t.diagnostic(
      `${batches * batch} tokens sent, heap grown by ${Math.round(grown / 1024)} KiB, resident ${mebibytes()} MiB`,
    )
    assert.ok(grown < noiseBytes, `the heap grew by ${grown} bytes`)
    assert.equal((await pipeline.ask('GET', [`/f.mp4?token=${good}`]))[0]?.status, 200)
    pipeline.close()
  })
})
