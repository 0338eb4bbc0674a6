import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { type Running, type Service, story, summaryOf, withService } from '../support/service.ts'

const ONCE = ['sync', '--once', '--json']

interface Scene {
  service: Service
  /** Resolves when the program has asked for the first object, which it does not get yet. */
  asked: Promise<void>
  /** From now on every object is sent. */
  open(): void
}

/** Five approved media in a bucket that keeps every download waiting until told otherwise. */
async function withWaitingBucket(t: TestContext): Promise<Scene> {
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const bucket = await withDemoBucket(t, {
    onRequest({ operation }) {
      if (operation !== 'GetObject') return undefined
      asked.resolve()
      return { kind: 'delay', until: gate.promise }
    },
  })
  const service = await withService(t, { bucket, env: { SYNC_CONCURRENCY: '2' } })
  await service.approve(5)
  return { service, asked: asked.promise, open: gate.resolve }
}

async function signalledWhileBusy(running: Running, asked: Promise<void>): Promise<void> {
  const ended = running.ended.then((how) => assert.fail(`ended too early: ${story(how)}`))
  await Promise.race([asked, ended])
  running.kill('SIGTERM')
  await Promise.race([running.said('stopping: finishing'), ended])
}

/** No lease is expired here: whatever is left must be free at once. */
async function assertTakenOver(service: Service): Promise<void> {
  assert.deepEqual(await violations(service, { converged: false }), [], 'when it had ended')
  const leased = await service.sql`select * from strongroom.items where lease_until is not null`
  assert.deepEqual([...leased], [], 'every lease was given back')
  const next = await service.run(ONCE)
  assert.equal(next.code, 0, story(next))
  assert.deepEqual(await violations(service, { converged: true }), [], 'after the next run')
}

describe('a signal', { concurrency: 2 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} lets a run finish what is in hand, give the rest back, and end with 1`, async (t) => {
      const { service, asked, open } = await withWaitingBucket(t)
      const running = service.start(ONCE)
      await asked
      running.kill(signal)
      await running.said('stopping: finishing')
      open()
      const ended = await running.ended
      assert.equal(ended.code, 1, story(ended))
      const { archived, left } = summaryOf(ended).items
      assert.deepEqual({ archived, left }, { archived: 2, left: 3 })
      await assertTakenOver(service)
    })
  }

  test('what is in hand is let go of when SHUTDOWN_TIMEOUT is over', async (t) => {
    const { service, asked, open } = await withWaitingBucket(t)
    const running = service.start(ONCE, { SHUTDOWN_TIMEOUT: '1s' })
    await signalledWhileBusy(running, asked)
    const ended = await running.ended
    assert.equal(ended.code, 1, story(ended))
    assert.equal(summaryOf(ended).items.left, 5)
    open()
    await assertTakenOver(service)
  })

  test('the second SIGTERM ends a run at once, with its leases given back', async (t) => {
    const { service, asked, open } = await withWaitingBucket(t)
    const running = service.start(ONCE, { SHUTDOWN_TIMEOUT: '10m' })
    await signalledWhileBusy(running, asked)
    running.kill('SIGTERM')
    const ended = await running.ended
    assert.equal(ended.code, 1, story(ended))
    open()
    await assertTakenOver(service)
  })

  test('SIGTERM ends an idle service with 0', async (t) => {
    const service = await withService(t)
    await service.approve(2)
    const running = service.start(['start', '--role', 'sync'], { LOG_LEVEL: 'info' })
    await running.printed('run finished')
    running.kill('SIGTERM')
    const ended = await running.ended
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(await violations(service, { converged: true }), [])
  })

  test('SIGTERM ends a busy service with 0 once what is in hand is archived', async (t) => {
    const { service, asked, open } = await withWaitingBucket(t)
    const running = service.start(['start', '--role', 'sync'])
    await asked
    running.kill('SIGTERM')
    await running.printed('stopping: finishing')
    open()
    const ended = await running.ended
    assert.equal(ended.code, 0, story(ended))
    const rows = await service.sql`select id from media where status = 'archived'`
    assert.equal(rows.length, 2)
    await assertTakenOver(service)
  })

  test('SIGTERM between the archived file and its record still records it', async (t) => {
    const service = await withService(t, { env: { SYNC_CONCURRENCY: '1' } })
    await service.approve(3)
    const running = service.start(ONCE, { STRONGROOM_HALT: 'published:SIGSTOP' })
    await running.stoppedAt('published')
    running.kill('SIGTERM')
    running.kill('SIGCONT')
    const ended = await running.ended
    assert.equal(ended.code, 1, story(ended))
    const { archived, left } = summaryOf(ended).items
    assert.deepEqual({ archived, left }, { archived: 1, left: 2 })
    await assertTakenOver(service)
  })

  test('SIGTERM during recovery gives back what was not recovered yet', async (t) => {
    const service = await withService(t)
    await service.approve(4)
    const first = await service.run(ONCE)
    assert.equal(first.code, 0, story(first))
    // As if their workers had died between publishing and recording.
    await service.sql`
      update media set status = 'approved', archive_path = null, archived_at = null, checksum_sha256 = null`
    await service.sql`delete from audit_logs`
    await service.sql`update strongroom.items set state = 'publishing', archived_at = null, release_due = null`
    await service.expireLeases()
    const running = service.start(ONCE, { STRONGROOM_HALT: 'recorded:SIGSTOP' })
    await running.stoppedAt('recorded')
    running.kill('SIGTERM')
    running.kill('SIGCONT')
    const ended = await running.ended
    assert.equal(ended.code, 1, story(ended))
    const recorded = summaryOf(ended).reconciled?.recorded ?? 0
    assert.ok(recorded > 0 && recorded < 4, story(ended))
    await assertTakenOver(service)
  })
})
