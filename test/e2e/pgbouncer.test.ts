import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { violations } from '../support/checker.ts'
import { type Pgbouncer, withPgbouncer } from '../support/pgbouncer.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { type Service, story, summaryOf, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
const ONCE = ['sync', '--once', '--json']

/** An installation whose program knows no other way to its database than through pgbouncer in transaction mode. */
async function withPooled(t: TestContext): Promise<{ service: Service; pooler: Pgbouncer }> {
  const direct = await withService(t)
  const pooler = await withPgbouncer(t, direct.database)
  const env = { RELEASE_GRACE: '0', BATCH_SIZE: '10', UNRAID_TUNNEL_SECRET: secret, ...pooler.env }
  const service: Service = {
    ...direct,
    env: { ...direct.env, ...env },
    start: (args, more) => direct.start(args, { ...env, ...more }),
    run: (args, more) => direct.run(args, { ...env, ...more }),
  }
  return { service, pooler }
}

describe('through pgbouncer in transaction mode', { concurrency: 2 }, () => {
  test('the schema is made, doctor is content, and two workers archive and release everything once', async (t) => {
    const { service } = await withPooled(t)
    const [first, second] = await Promise.all([service.run(['migrate']), service.run(['migrate'])])
    assert.deepEqual([first.code, second.code], [0, 0], story(first) + story(second))
    await service.approve(60)
    const doctor = await service.run(['doctor'])
    assert.equal(doctor.code, 0, story(doctor))
    const halted = { STRONGROOM_HALT: 'claimed:SIGSTOP' }
    const workers = [service.start(ONCE, halted), service.start(ONCE, halted)]
    for (const worker of workers) await worker.stoppedAt('claimed')
    for (const worker of workers) worker.kill('SIGCONT')
    const both = await Promise.all(workers.map(({ ended }) => ended))
    const archived = both.map((ended) => summaryOf(ended).items.archived)
    assert.equal(
      archived.reduce((sum, count) => sum + count),
      60,
      both.map(story).join('\n'),
    )
    const last = await service.run(ONCE)
    assert.equal(last.code, 0, story(last))
    assert.deepEqual(await violations(service, { converged: true }), [])
    assert.deepEqual(await service.admin.list(), [])
  })

  test('health is well, files are served, a revoked link is refused, and what rots is healed', async (t) => {
    const { service } = await withPooled(t)
    await service.approve(2)
    const keep = { RELEASE_GRACE: '24h' }
    const synced = await service.run(ONCE, keep)
    assert.equal(synced.code, 0, story(synced))
    const [one, two] = await service.sql<{ archive_path: string }[]>`
      select archive_path from strongroom.items order by media_id`
    await rm(join(service.archiveDir, two?.archive_path ?? ''))
    await service.sql`update strongroom.items set archived_at = archived_at - interval '1 year'`

    const program = startTalking(t, ['start'], { ...service.env, ...keep })
    const [serve, admin] = [await program.port('serve'), await program.port('admin')]
    await program.said(/"read":2,"damaged":1,"healed":1,.*"message":"scrubbed"/)
    const deep = async () => {
      const answer = await fetch(`http://127.0.0.1:${admin}/health/deep`)
      return { status: answer.status, text: await answer.text() }
    }
    // The verdict of before the healing is given for five seconds.
    while ((await deep()).status !== 200) await setImmediate()
    assert.match((await deep()).text, /"database":\{"ok":true/)

    const token = tokenFor(secret, { media_id: 1 })
    const link = fileUrl(serve, one?.archive_path ?? '', token)
    const statusOf = async () => {
      const answer = await fetch(link)
      await answer.arrayBuffer()
      return answer.status
    }
    assert.equal(await statusOf(), 200)
    const revoked = await service.run(['token', 'revoke', token])
    assert.equal(revoked.code, 0, story(revoked))
    while ((await statusOf()) !== 410) await setImmediate()
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(await violations(service, { converged: false }), [])
  })

  test('a pooler that crashes in the midst of a run costs nothing but time', async (t) => {
    const { service, pooler } = await withPooled(t)
    await service.approve(20)
    const halted = { STRONGROOM_HALT: 'published:SIGSTOP', SYNC_CONCURRENCY: '1' }
    const worker = service.start(ONCE, halted)
    await worker.stoppedAt('published')
    await pooler.restart()
    worker.kill('SIGCONT')
    const ended = await worker.ended
    const again = ended.code === 0 ? ended : await service.run(ONCE)
    assert.equal(again.code, 0, story(ended) + story(again))
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
})
