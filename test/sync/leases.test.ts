import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Held } from '../../src/db/items.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import { createLeases, type Leases } from '../../src/sync/leases.ts'
import { hasCode } from '../support/scopes.ts'
import { listeningLog } from '../support/worker.ts'

type Answer = { alive: Set<number>; databaseTimeMs: number }

interface Rig {
  leases: Leases
  clock: { now: number }
  asked: number[][]
  /** What the database says to the next heartbeats. */
  answer: (held: readonly Held[]) => Promise<Answer>
  messages(): string[]
}

const LEASE_MS = 90_000

function withLeases(t: TestContext, beatMs = 0): Rig {
  const clock = { now: 1_000 }
  const { log, lines } = listeningLog()
  const asked: number[][] = []
  const heartbeat = (held: readonly Held[]) => {
    asked.push(held.map(({ id }) => id))
    return rig.answer(held)
  }
  const leases = createLeases({
    items: { heartbeat },
    log,
    leaseMs: LEASE_MS,
    beatMs,
    now: () => clock.now,
  })
  t.after(() => leases.stop())
  const rig: Rig = {
    leases,
    clock,
    asked,
    answer: async (held) => everybodyLives(clock, held),
    messages: () => lines.map(({ message }) => message),
  }
  return rig
}

function everybodyLives(clock: Rig['clock'], held: readonly Held[], ahead = 1e9): Answer {
  return { alive: new Set(held.map(({ id }) => id)), databaseTimeMs: clock.now + ahead }
}

const one = { id: 1, epoch: 4 }
const two = { id: 2, epoch: 1 }

test('a lease that another worker holds aborts its work, and no other', async (t) => {
  const rig = withLeases(t)
  const [lost, kept] = [rig.leases.hold(one), rig.leases.hold(two)]
  rig.answer = async () => ({ alive: new Set([two.id]), databaseTimeMs: 0 })
  await rig.leases.beat()
  assert.ok(isAppError(lost.reason, 'LEASE_LOST'))
  assert.throws(() => rig.leases.assertAlive(one), hasCode('LEASE_LOST', /another worker/))
  assert.equal(kept.aborted, false)
  rig.leases.assertAlive(two)
})

test('one heartbeat speaks for all items in hand', async (t) => {
  const rig = withLeases(t)
  await rig.leases.beat()
  rig.leases.hold(one)
  rig.leases.hold(two)
  assert.deepEqual(rig.leases.held(), [one, two])
  await rig.leases.beat()
  rig.leases.drop(one)
  await rig.leases.beat()
  assert.deepEqual(rig.asked, [[], [1, 2], [2]])
})

test('a worker stops itself when no heartbeat got through for two thirds of a lease', async (t) => {
  const rig = withLeases(t)
  const signal = rig.leases.hold(one)
  rig.clock.now += (LEASE_MS * 2) / 3
  rig.leases.assertAlive(one)
  assert.equal(signal.aborted, false)
  rig.clock.now += 1
  assert.throws(() => rig.leases.assertAlive(one), hasCode('LEASE_LOST', /no heartbeat/))
  assert.equal(signal.aborted, true)
})

test('a heartbeat counts from when it was sent, not from when it was answered', async (t) => {
  const rig = withLeases(t)
  const signal = rig.leases.hold(one)
  rig.answer = async (held) => {
    rig.clock.now += 59_000
    return everybodyLives(rig.clock, held)
  }
  await rig.leases.beat()
  assert.equal(signal.aborted, false)
  rig.clock.now += 1_001
  assert.throws(() => rig.leases.assertAlive(one), hasCode('LEASE_LOST'))
})

test('a failed heartbeat is told and tolerated until two thirds of a lease are over', async (t) => {
  const rig = withLeases(t)
  const signal = rig.leases.hold(one)
  rig.answer = async () => {
    throw new AppError('DB_UNAVAILABLE', 'the database is away')
  }
  rig.clock.now += 30_000
  await rig.leases.beat()
  assert.deepEqual(rig.messages(), ['heartbeat failed'])
  assert.equal(signal.aborted, false)
  rig.clock.now += 30_001
  await rig.leases.beat()
  assert.ok(isAppError(signal.reason, 'LEASE_LOST'))
})

test('an answered heartbeat gives a whole lease again', async (t) => {
  const rig = withLeases(t)
  rig.leases.hold(one)
  for (let beats = 0; beats < 5; beats++) {
    rig.clock.now += 50_000
    await rig.leases.beat()
    rig.leases.assertAlive(one)
  }
})

test('what is not held, or is held in another epoch, is not alive', (t) => {
  const { leases } = withLeases(t)
  assert.throws(() => leases.assertAlive(one), hasCode('LEASE_LOST', /not held/))
  leases.hold(one)
  assert.throws(() => leases.assertAlive({ ...one, epoch: 3 }), hasCode('LEASE_LOST'))
  leases.drop({ ...one, epoch: 3 })
  leases.assertAlive(one)
  leases.drop(one)
  assert.throws(() => leases.assertAlive(one), hasCode('LEASE_LOST'))
})

test('a late answer about an earlier epoch says nothing about the next one', async (t) => {
  const rig = withLeases(t)
  const sent = Promise.withResolvers<Answer>()
  rig.answer = () => sent.promise
  rig.leases.hold(one)
  const beating = rig.leases.beat()
  rig.leases.drop(one)
  const again = rig.leases.hold({ ...one, epoch: 5 })
  sent.resolve({ alive: new Set(), databaseTimeMs: 0 })
  await beating
  assert.equal(again.aborted, false)
})

test('a lease is confirmed by the database, which also extends it and tells its time', async (t) => {
  const rig = withLeases(t)
  rig.leases.hold(one)
  rig.leases.hold(two)
  rig.clock.now += 59_000
  assert.equal(await rig.leases.confirm(one), rig.clock.now + 1e9)
  assert.deepEqual(rig.asked, [[one.id]])
  rig.clock.now += 59_000
  rig.leases.assertAlive(one)
  assert.throws(() => rig.leases.assertAlive(two), hasCode('LEASE_LOST', /no heartbeat/))
})

test('a lease that another worker took is not confirmed, however little time seems to have passed', async (t) => {
  const rig = withLeases(t)
  const lost = rig.leases.hold(one)
  rig.answer = async () => ({ alive: new Set(), databaseTimeMs: 0 })
  await assert.rejects(rig.leases.confirm(one), hasCode('LEASE_LOST', /another worker/))
  assert.ok(isAppError(lost.reason, 'LEASE_LOST'))
})

test('without an answer of the database nothing is confirmed, and the lease is not lost', async (t) => {
  const rig = withLeases(t)
  rig.leases.hold(one)
  rig.answer = async () => {
    throw new AppError('DB_UNAVAILABLE', 'the database is away')
  }
  await assert.rejects(rig.leases.confirm(one), hasCode('DB_UNAVAILABLE'))
  rig.leases.assertAlive(one)
  await assert.rejects(rig.leases.confirm(two), hasCode('LEASE_LOST', /not held/))
})

test('two heartbeats at once are one', async (t) => {
  const rig = withLeases(t)
  rig.leases.hold(one)
  await Promise.all([rig.leases.beat(), rig.leases.beat()])
  assert.equal(rig.asked.length, 1)
})

test('a jump of the database clock is seen with nothing in hand, and so is that it was put right', async (t) => {
  const rig = withLeases(t)
  const at = async (jumpMs: number) => {
    rig.clock.now += 20_000
    rig.answer = async (held) => everybodyLives(rig.clock, held, 1e9 + jumpMs)
    await rig.leases.beat()
    return rig.leases.clockJumpedMs()
  }
  assert.deepEqual(
    [await at(0), await at(1e8), await at(1e8), await at(0)],
    [null, 0, 20_000, null],
  )
})

test('whoever asks whether the database clock is steady hears of a jump since the last heartbeat', async (t) => {
  const rig = withLeases(t)
  await rig.leases.beat()
  assert.equal(await rig.leases.clockIsSteady(), true)
  rig.answer = async (held) => everybodyLives(rig.clock, held, 2e9)
  assert.equal(await rig.leases.clockIsSteady(), false)
  rig.answer = async () => {
    throw new AppError('DB_UNAVAILABLE', 'the database is away')
  }
  await assert.rejects(rig.leases.clockIsSteady(), hasCode('DB_UNAVAILABLE'))
})

test('a jump of the database clock is also seen as a lease is confirmed', async (t) => {
  const rig = withLeases(t)
  rig.leases.hold(one)
  await rig.leases.confirm(one)
  rig.answer = async (held) => everybodyLives(rig.clock, held, 2e9)
  await rig.leases.confirm(one)
  assert.equal(rig.leases.clockJumpedMs(), 0)
})

test('a lease counts from when its claim was sent', (t) => {
  const rig = withLeases(t)
  const sentAt = rig.leases.now()
  rig.clock.now += 60_001
  rig.leases.hold(one, sentAt)
  assert.throws(() => rig.leases.assertAlive(one), hasCode('LEASE_LOST', /no heartbeat/))
})

test('heartbeats go out by themselves until they are stopped', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const rig = withLeases(t, 20_000)
  rig.leases.hold(one)
  t.mock.timers.tick(40_000)
  await rig.leases.beat()
  rig.leases.stop()
  const sent = rig.asked.length
  assert.ok(sent >= 1)
  t.mock.timers.tick(100_000)
  assert.equal(rig.asked.length, sent)
})
