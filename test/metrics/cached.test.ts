import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCached } from '../../src/metrics/cached.ts'

/** A reading that ends when it is told to, and a clock that goes when it is told to. */
function rig(patienceMs = 60_000) {
  let now = 0
  const reads: PromiseWithResolvers<string>[] = []
  const look = createCached(
    () => {
      const read = Promise.withResolvers<string>()
      reads.push(read)
      return read.promise
    },
    { freshMs: 30_000, patienceMs, clock: () => now },
  )
  return {
    look,
    reads,
    pass: (ms: number) => {
      now += ms
    },
  }
}

test('however many look, it is read once, and not again for half a minute', async () => {
  const { look, reads, pass } = rig()
  const looks = Array.from({ length: 100 }, look)
  reads[0]?.resolve('first')
  for (const seen of await Promise.all(looks)) assert.equal(seen?.value, 'first')
  pass(29_999)
  assert.deepEqual(await look(), { value: 'first', ageMs: 29_999 })
  assert.equal(reads.length, 1)
  pass(1)
  const next = look()
  reads[1]?.resolve('second')
  assert.deepEqual(await next, { value: 'second', ageMs: 0 })
})

test('what takes long is read seldom: a fiftieth of the time', async () => {
  const { look, reads, pass } = rig()
  const first = look()
  pass(8_000)
  reads[0]?.resolve('slow')
  await first
  pass(391_999)
  await look()
  assert.equal(reads.length, 1)
  pass(1)
  void look()
  assert.equal(reads.length, 2)
})

test('who looks waits for so long and then takes the last value', async () => {
  const { look, reads, pass } = rig(0)
  assert.equal(await look(), null, 'there is none yet')
  reads[0]?.resolve('first')
  await look()
  pass(30_000)
  assert.deepEqual(await look(), { value: 'first', ageMs: 30_000 })
  assert.equal(reads.length, 2, 'while it is read again')
  await look()
  assert.equal(reads.length, 2, 'and not twice at a time')
})

test('a value that could not be replaced for ten minutes is not told any more', async () => {
  const { look, reads, pass } = rig()
  const first = look()
  reads[0]?.resolve('first')
  await first
  pass(600_000)
  const again = look()
  reads[1]?.reject(new Error('away'))
  assert.deepEqual(await again, { value: 'first', ageMs: 600_000 })
  pass(1)
  assert.equal(await look(), null)
  assert.equal(reads.length, 2, 'what fails is not asked all the time either')
})

test('a database that was away for a moment is asked again soon: what failed cost it nothing', async () => {
  let now = 0
  let away = false
  let reads = 0
  const look = createCached(
    async () => {
      reads += 1
      // The client's own deadline (DEADLINE_MS of src/db/connect.ts).
      if (away) {
        now += 15_000
        throw new Error('no answer')
      }
      return reads
    },
    { freshMs: 30_000, patienceMs: 2_000, clock: () => now },
  )
  await look()
  now += 30_000
  away = true
  await look()
  away = false
  now += 120_000
  const seen = await look()
  assert.ok(
    seen !== null && seen.ageMs < 60_000,
    `the figures are ${(seen?.ageMs ?? 0) / 1000} s old, reads: ${reads}`,
  )
})

test('a reading that failed does not make an old value live for longer than ten minutes', async () => {
  let now = 0
  let away = false
  const look = createCached(
    async () => {
      if (!away) return 'first'
      now += 15_000
      throw new Error('no answer')
    },
    { freshMs: 30_000, patienceMs: 2_000, clock: () => now },
  )
  await look()
  now += 30_000
  away = true
  await look()
  now += 1_400_000
  assert.equal(await look(), null, 'a value of 24 minutes ago is told as if it stood')
})
