import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { withPostgresProxy } from '../support/postgres-proxy.ts'
import { startTalking } from '../support/program.ts'
import { mountsRefused, type Scope, withVolume } from '../support/scopes.ts'
import { type Env, story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
const REQUESTS = 10_000
const AT_ONCE = 50
/** A verdict is kept for so long. */
const CACHE_MS = 5_000

interface Check {
  ok: boolean
  error: string | null
  latencyMs: number
  ageMs: number
}
interface Deep {
  status: string
  checks: Record<string, Check>
  gauges: Record<string, number>
}

async function withProgram(t: Scope, more: Env = {}) {
  const bucket = await withDemoBucket(t)
  const service = await withService(t, { bucket, env: more })
  // In memory an archive is made only for who asks for it.
  if (more.ARCHIVE_DIR !== undefined) {
    await service.run(['migrate'])
    await service.run(['init-volume'])
  }
  const line = await withPostgresProxy(t, service.database)
  const env = { ...service.env, DB_PORT: String(line.port), UNRAID_TUNNEL_SECRET: secret }
  const program = startTalking(t, ['start'], { ...env, LOG_LEVEL: 'info', ...more })
  const [admin, serve] = [await program.port('admin'), await program.port('serve')]
  await program.said(/"message":"run finished"/)
  const deep = async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/health/deep`)
    return { code: answer.status, ...((await answer.json()) as Deep) }
  }
  /** Waits for a verdict that is made of this. */
  const until = async (holds: (verdict: Awaited<ReturnType<typeof deep>>) => boolean) => {
    for (;;) {
      const verdict = await deep()
      if (holds(verdict)) return verdict
      await delay(100)
    }
  }
  return { service, program, bucket, line, admin, serve, deep, until }
}

/** How often clients had a statement that holds this text carried out, by their own messages. */
function executions(sent: readonly { type: string; body: Buffer }[][], text: string): number {
  let count = 0
  for (const messages of sent) {
    const named = new Set<string>()
    for (const { type, body } of messages) {
      const [name = '', rest = ''] = body.toString('latin1').split('\0', 2)
      if (type === 'P' && body.includes(text)) named.add(name)
      if (type === 'B' && named.has(rest)) count += 1
    }
  }
  return count
}

describe('/health/deep', { concurrency: 2 }, () => {
  test(`asks the database and the bucket once in 5 s, whatever ${REQUESTS} requests ask`, async (t) => {
    const { program, bucket, line, admin, serve } = await withProgram(t)
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
    t.after(() => agent.destroy())
    const ask = async (port: number) => {
      const path = '/health/deep'
      const [answer] = (await once(get({ host: '127.0.0.1', port, path, agent }), 'response')) as [
        IncomingMessage,
      ]
      answer.resume()
      await once(answer, 'end')
      return answer.statusCode
    }
    const listings = () =>
      bucket.server.requests.filter(({ operation }) => operation === 'ListObjectsV2').length
    const before = { statements: executions(line.sent, 'last_well'), listings: listings() }
    const startedAt = performance.now()
    let left = REQUESTS
    const lane = async () => {
      while (left-- > 0) assert.equal(await ask(left % 2 === 0 ? admin : serve), 200)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
    const most = Math.floor((performance.now() - startedAt) / CACHE_MS) + 1
    const statements = executions(line.sent, 'last_well') - before.statements
    const asked = listings() - before.listings
    assert.ok(statements >= 1 && statements <= most, `${statements} statements, not ${most}`)
    assert.ok(asked >= 1 && asked <= most, `${asked} listings, not ${most}`)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
  })

  test('tells on the admin port of each part how long it took and how old that is, and only a verdict outside', async (t) => {
    const { admin, serve, deep } = await withProgram(t)
    const { code, status, checks, gauges } = await deep()
    assert.deepEqual([code, status], [200, 'ok'])
    assert.deepEqual(Object.keys(checks).toSorted(), [
      ...['archive', 'bucket', 'database', 'files', 'runs', 'space', 'syncer', 'writes'],
    ])
    for (const [name, { ok, error, latencyMs, ageMs }] of Object.entries(checks)) {
      assert.deepEqual([ok, error], [true, null], name)
      assert.ok(latencyMs >= 0 && ageMs >= 0 && ageMs < CACHE_MS, name)
    }
    assert.ok((gauges.freeBytes ?? 0) > 0 && (gauges.lastRunSeconds ?? -1) >= 0)
    const outside = await fetch(`http://127.0.0.1:${serve}/health/deep`)
    assert.deepEqual([outside.status, await outside.json()], [200, { status: 'ok' }])
    assert.notEqual(admin, serve)
  })

  test('fails when no sync came to its end for STALE_AFTER, and no longer once one did', async (t) => {
    const { service, program, until } = await withProgram(t, { STALE_AFTER: '1h' })
    await service.sql`update strongroom.runs set ended_at = ended_at - interval '2 hours'`
    const late = await until(({ checks }) => checks.runs?.ok === false)
    assert.deepEqual([late.code, late.checks.runs?.error], [503, 'RUN_OVERDUE'])
    const mark = program.mark()
    await service.sql`
      insert into strongroom.runs (job, trigger, mode, status, node)
      values ('sync', 'api', 'live', 'pending', 'a test')`
    await program.said(/"message":"run finished"/, mark)
    await until(({ code }) => code === 200)
  })

  test('fails while the archive may not be written to', { skip: mountsRefused() }, async (t) => {
    const volume = await withVolume(t, 16_000_000)
    const { until } = await withProgram(t, { ARCHIVE_DIR: volume.folder, FREE_SPACE_MIN: '0' })
    await volume.makeReadOnly()
    const denied = await until(({ checks }) => checks.writes?.ok === false)
    assert.deepEqual([denied.code, denied.checks.writes?.error], [503, 'DISK_DENIED'])
  })

  test('fails while less is free than FREE_SPACE_MIN', async (t) => {
    const { deep } = await withProgram(t, { FREE_SPACE_MIN: '8000000GiB' })
    const { code, checks } = await deep()
    assert.deepEqual([code, checks.space?.error], [503, 'DISK_LOW'])
  })
})
