import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Run } from '../../src/runs.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

async function runsOf(service: Service, ...args: string[]): Promise<Run[]> {
  const listed = await service.run(['runs', '--json', ...args])
  assert.equal(listed.code, 0, story(listed))
  return listed.stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Run)
}

const sync = (service: Service, env?: Env) => service.run(['sync', '--once', '--json'], env)

describe('the history of runs', { concurrency: 3 }, () => {
  test('tells of each run what it did, and what became of each item', async (t) => {
    const service = await withService(t)
    await service.approve(3, (n) => (n === 1 ? { bytes: Buffer.from('no medium') } : undefined))
    await sync(service)
    await service.run(['reconcile'])
    await service.run(['verify'])
    const runs = await runsOf(service)
    assert.deepEqual(
      runs.map(({ job, trigger, status, items }) => ({ job, trigger, status, items })),
      [
        { job: 'sync', trigger: 'manual', status: 'success', items: { archived: 2, rejected: 1 } },
        { job: 'reconcile', trigger: 'manual', status: 'success', items: {} },
        { job: 'verify', trigger: 'manual', status: 'success', items: { whole: 2 } },
      ],
    )
    assert.ok(runs.every(({ endedAt }) => endedAt !== null))
    const id = String(runs[0]?.id)
    const shown = await service.run(['runs', 'show', id])
    assert.equal(shown.code, 0, story(shown))
    const lines = shown.stdout.split('\n')
    assert.equal(lines.filter((line) => line.includes('archived, 2')).length, 2, story(shown))
    assert.equal(lines.filter((line) => /media \d+ rejected: \S/.test(line)).length, 1)
    const [, ...events] = (await service.run(['runs', 'show', id, '--json'])).stdout
      .trim()
      .split('\n')
    assert.deepEqual(
      events.map((line) => (JSON.parse(line) as { outcome: string }).outcome).toSorted(),
      ['archived', 'archived', 'rejected'],
    )
    const absent = await service.run(['runs', 'show', '999'])
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /there is no run 999/)
  })

  test('closes a run that was killed, and says that nothing is lost by it', async (t) => {
    const service = await withService(t)
    await service.approve(1)
    const killed = await sync(service, { STRONGROOM_HALT: 'published:SIGKILL' })
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    assert.equal((await runsOf(service))[0]?.status, 'running')
    await service.expireLeases()
    await service.sql`update strongroom.runs set lease_until = now()`
    await sync(service)
    const [first, second] = await runsOf(service)
    assert.equal(first?.status, 'failed')
    assert.equal(first?.error?.code, 'RUN_INTERRUPTED')
    assert.match(first?.error?.hint ?? '', /nothing is lost/)
    assert.deepEqual([second?.status, second?.items], ['success', { recovered: 1 }])
  })

  test('keeps what an outage stopped, with its reason and what was logged', async (t) => {
    const service = await withService(t)
    await service.approve(1)
    await sync(service, { FFPROBE_PATH: '/nonexistent/ffprobe' })
    await sync(service, { R2_BUCKET: 'no-such-bucket' })
    const runs = await runsOf(service, '--job', 'sync')
    const failed = runs.filter(({ status }) => status === 'failed')
    assert.deepEqual(
      failed.map(({ error }) => error?.code),
      ['PROBE_MISSING', 'BUCKET_MISSING'],
    )
    const shown = await service.run(['runs', 'show', String(failed[1]?.id)])
    assert.match(shown.stdout, /logged meanwhile:\n.*the run stopped early/)
  })

  test('with SYNC_OVERLAP=skip a second sync leaves the work to the first, and says so', async (t) => {
    const service = await withService(t)
    await service.approve(1)
    const env = { SYNC_OVERLAP: 'skip' }
    const first = service.start(['sync', '--once'], {
      ...env,
      STRONGROOM_HALT: 'downloaded:SIGSTOP',
    })
    await first.stoppedAt('downloaded')
    const second = await sync(service, env)
    assert.equal(second.code, 75, story(second))
    assert.match(second.stderr, /another sync is under way/)
    first.kill('SIGCONT')
    const ended = await first.ended
    assert.equal(ended.code, 0, story(ended))
    const runs = await runsOf(service)
    assert.deepEqual(runs.map(({ status }) => status).toSorted(), ['skipped', 'success'])
    const skipped = runs.find(({ status }) => status === 'skipped')
    assert.equal(skipped?.error?.code, 'RUN_OVERLAPS')
  })

  test('a SYNC_TIMEOUT longer than a timer of Node can be set for ends no run', async (t) => {
    const service = await withService(t)
    await service.approve(1)
    const ended = await sync(service, { SYNC_TIMEOUT: '720h' })
    assert.equal(ended.code, 0, story(ended))
    assert.doesNotMatch(ended.stderr, /TimeoutOverflowWarning/)
    assert.equal((await runsOf(service))[0]?.status, 'success')
  })

  test('a run longer than SYNC_TIMEOUT ends with what it has in hand, and counts as failed', async (t) => {
    const service = await withService(t)
    await service.approve(2)
    const env = { SYNC_TIMEOUT: '1s', SHUTDOWN_TIMEOUT: '60s' }
    const run = service.start(['sync', '--once'], { ...env, STRONGROOM_HALT: 'downloaded:SIGSTOP' })
    await run.stoppedAt('downloaded')
    // Its timers ran out while it was stopped.
    await service.sql`select pg_sleep(1.1)`
    run.kill('SIGCONT')
    await run.ended
    const [kept] = await runsOf(service)
    assert.deepEqual([kept?.status, kept?.error?.code], ['failed', 'RUN_TIMED_OUT'])
  })

  test('is followed as it is written', async (t) => {
    const service = await withService(t)
    await service.migrate()
    await service.approve(1)
    const follower = service.start(['runs', '--follow'])
    const stopped = service.start(['sync', '--once'], {
      STRONGROOM_HALT: 'downloaded:SIGSTOP',
    })
    await stopped.stoppedAt('downloaded')
    await follower.printed(' running ')
    stopped.kill('SIGCONT')
    await follower.printed(' success ')
    follower.kill('SIGINT')
    const ended = await follower.ended
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /manual on \S+: 1 archived, /)
  })

  test('a dry run leaves no trace in it', async (t) => {
    const service = await withService(t)
    await service.migrate()
    await service.approve(1)
    await service.run(['sync', '--once', '--dry-run'])
    assert.deepEqual(await runsOf(service), [])
    const empty = await service.run(['runs'])
    assert.match(empty.stdout, /no runs yet/)
  })
})
