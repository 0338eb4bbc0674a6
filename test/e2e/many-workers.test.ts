/**
 * Eight processes on one installation, each of which stops, or kills, itself again and again at some point of its work.
 * STRONGROOM_TEST_ITEMS says how many items they share, PROPERTY_SEED repeats the moments.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { points, type SyncPoint } from '../../src/sync/parts.ts'
import { violations } from '../support/checker.ts'
import { createRandom, type Random } from '../support/mutants.ts'
import { type Running, type Service, story, withService } from '../support/service.ts'

const seed = Number(process.env.PROPERTY_SEED ?? 1)
const items = Number(process.env.STRONGROOM_TEST_ITEMS ?? 96)
const WORKERS = 8
/** How often each of them is halted before one lives to its end. */
const HALTS = Math.max(1, Math.round(Math.sqrt(items) / 5))
const LEASE_MS = 90_000
const ONCE = ['sync', '--once', '--json']

/** Points at which the item is leased: those of the archiving of good media, and those of the release that follows it. */
const archiving = between('claimed', 'published').filter((point) => point !== 'set-aside')
const releasing = between('release-claimed', 'source-deleted')

function between(first: SyncPoint, last: SyncPoint): SyncPoint[] {
  return points.slice(points.indexOf(first), points.indexOf(last) + 1)
}

/**
 * What a worker that woke in the midst of another one's work could still do: file its copy, or the sidecar alone, under the name
 * that its own intent had. Nobody believes it, and fsck names it.
 */
const isOfLateWorker =
  /^I9: .* (?:is a copy of media \d+ that no item knows|describes a file that is not there)$/

interface Tally {
  killed: number
  stopped: number
  leasesLost: number
}

test(`${WORKERS} workers that are killed and stopped archive each of ${items} items once (PROPERTY_SEED=${seed})`, async (t) => {
  const env = { RELEASE_GRACE: '0', BATCH_SIZE: '8', SYNC_CONCURRENCY: '1' }
  const service = await withService(t, { env })
  await service.migrate()
  await service.approve(items)
  const random = createRandom(seed)
  const crew = createCrew(service)
  await Promise.all(Array.from({ length: WORKERS }, () => crew.work(random)))
  await service.expireLeases()
  const last = await service.run(ONCE)
  assert.equal(last.code, 0, story(last))

  const found = await violations(service, { converged: true })
  assert.deepEqual(
    found.filter((sentence) => !isOfLateWorker.test(sentence)),
    [],
  )
  const audit = await service.sql<{ action: string; rows: number; media: number }[]>`
    select action, count(*) as rows, count(distinct media_id) as media from audit_logs group by action order by action`
  assert.deepEqual(
    [...audit].map((row) => ({ ...row })),
    ['archived', 'source_deleted'].map((action) => ({ action, rows: items, media: items })),
  )
  assert.deepEqual(await service.admin.list(), [])
  const { killed, stopped, leasesLost } = crew.tally
  assert.ok(killed + stopped > 0 && leasesLost > 0, JSON.stringify(crew.tally))
  t.diagnostic(JSON.stringify(crew.tally))
})

/** Those who live, and what happens to them. */
function createCrew(service: Service) {
  const tally: Tally = { killed: 0, stopped: 0, leasesLost: 0 }
  /** For each that is at work, the moment at which it halts or ends. */
  const atWork = new Map<Running, Promise<unknown>>()

  const live = async (halt: Halt | null): Promise<void> => {
    const worker = service.start(
      ONCE,
      halt === null ? {} : { STRONGROOM_HALT: `${halt.point}:${halt.signal}:${halt.nth}` },
    )
    const halted = worker.halted()
    atWork.set(worker, halted)
    const item = await halted
    atWork.delete(worker)
    if (item !== null) await loseLease(service, item, tally)
    if (item !== null && halt?.signal === 'SIGSTOP') {
      tally.stopped += 1
      await worker.stoppedAt(halt.point)
      // The others go on with what it had, or all have come to their ends.
      await Promise.race([...atWork.values(), ...(atWork.size === 0 ? [null] : [])])
      worker.kill('SIGCONT')
      // Having woken it does what it takes for its own, and no more, so that its next life is halted, too.
      worker.kill('SIGTERM')
    }
    const ended = await worker.ended
    if (ended.signal === 'SIGKILL') tally.killed += 1
    else assert.ok([0, 1, 75].includes(ended.code ?? -1), story(ended))
  }
  return {
    tally,
    /** Some lives that are halted, the last of them in its release, and one that is not. */
    async work(random: Random): Promise<void> {
      for (let life = 0; life < HALTS; life++) await live(nextHalt(random, archiving))
      await live(nextHalt(random, releasing))
      await live(null)
    },
  }
}

interface Halt {
  point: SyncPoint
  signal: 'SIGKILL' | 'SIGSTOP'
  nth: number
}

function nextHalt(random: Random, points: readonly SyncPoint[]): Halt {
  const point = points[random(points.length)] ?? 'claimed'
  const signal = random(2) === 0 ? 'SIGKILL' : 'SIGSTOP'
  return { point, signal, nth: 1 + random(Math.ceil(items / WORKERS / HALTS / 2)) }
}

/** Its leases are over 90 s after its last heartbeat at the latest, and that time passes. */
async function loseLease({ sql }: Service, item: number, tally: Tally): Promise<void> {
  const passed = await sql<{ in_time: boolean }[]>`
    with owner as (select lease_owner from strongroom.items where id = ${item} and lease_owner is not null)
    update strongroom.items i
    set lease_until = i.lease_until - ${LEASE_MS} * interval '1 millisecond'
    from owner where i.lease_owner = owner.lease_owner
    returning i.lease_until < clock_timestamp() as in_time`
  assert.ok(
    passed.every((row) => row.in_time),
    'a lease of more than 90 s',
  )
  tally.leasesLost += passed.length
}
