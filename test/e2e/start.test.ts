import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { uniqueMedia } from '../support/media-files.ts'
import { approveMedium, assertArchived } from '../support/media-rows.ts'
import { startPostgres } from '../support/postgres.ts'
import { fileUrl, startTalking, type TalkingProgram, tokenFor } from '../support/program.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
const ports = { SERVER_PORT: '0', ADMIN_PORT: '0' }

/** Waits for a run after `from` that archived `count`. */
function archivedRun(program: TalkingProgram, count: number, from = 0): Promise<unknown> {
  return program.said(new RegExp(`"items":\\{"archived":${count},.*"message":"run finished"`), from)
}

async function startService(t: TestContext, service: Service, env: Env = {}) {
  const settings = { ...service.env, ...ports, UNRAID_TUNNEL_SECRET: secret, SYNC_INTERVAL: '1s' }
  const program = startTalking(t, ['start'], { ...settings, LOG_LEVEL: 'info', ...env })
  return { program, serve: await program.port('serve'), admin: await program.port('admin') }
}

async function json(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(url)
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

async function bytesAt(url: string): Promise<Buffer> {
  const answer = await fetch(url)
  assert.equal(answer.status, 200, url.split('?')[0])
  return Buffer.from(await answer.arrayBuffer())
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(100)
}

describe('strongroom start', { concurrency: 2 }, () => {
  test('archives at once and again, serves links, tells its health, and ends with 0', async (t) => {
    const service = await withService(t)
    const media = [await approveMedium(service), await approveMedium(service)]
    const { program, serve, admin } = await startService(t, service)
    await archivedRun(program, 2)
    for (const medium of media) await assertArchived(service, medium)
    for (const port of [serve, admin]) {
      assert.deepEqual(await json(`http://127.0.0.1:${port}/health`), {
        status: 200,
        body: { status: 'ok' },
      })
    }
    const outside = await json(`http://127.0.0.1:${serve}/health/deep`)
    assert.deepEqual(outside, { status: 200, body: { status: 'ok' } }, 'no details for strangers')
    const inside = await json(`http://127.0.0.1:${admin}/health/deep`)
    assert.deepEqual(Object.keys(inside.body.checks as object).sort(), [
      'archive',
      'bucket',
      'database',
      'files',
      'runs',
      'space',
      'syncer',
      'writes',
    ])

    const own = {
      SERVER_PORT: String(serve),
      ADMIN_PORT: String(admin),
      UNRAID_TUNNEL_SECRET: secret,
    }
    for (const { mediaId, bytes } of media) {
      const link = await service.run(['token', '--media', String(mediaId), '--ttl', '1m'], own)
      assert.equal(link.code, 0, story(link))
      assert.deepEqual(await bytesAt(link.stdout.trim()), bytes)
    }
    const absent = await service.run(['token', '--media', '99'], own)
    assert.equal(absent.code, 1, story(absent))
    assert.match(absent.stderr, /media 99 is not in the archive/)
    assert.equal((await service.run(['health'], own)).code, 0)
    assert.equal((await service.run(['health', '--deep'], own)).code, 0)

    const mark = program.mark()
    const later = await approveMedium(service)
    await archivedRun(program, 1, mark)
    await assertArchived(service, later)

    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.doesNotMatch(
      ended.stdout,
      new RegExp(`${secret}|eyJ`),
      'no secret and no token in the log',
    )
    const gone = await service.run(['health'], own)
    assert.equal(gone.code, 1, story(gone))
    assert.match(
      gone.stderr,
      new RegExp(`nothing healthy answers at http://127.0.0.1:${serve}/health`),
    )
  })

  test('goes on serving while the database is down, says so, and recovers by itself', async (t) => {
    const server = await startPostgres()
    const service = await withService(t, { server })
    t.after(() => server.stop())
    const medium = await approveMedium(service)
    const { program, serve, admin } = await startService(t, service)
    await archivedRun(program, 1)
    const url = fileUrl(
      serve,
      await assertArchived(service, medium),
      tokenFor(secret, { media_id: 1 }),
    )

    await server.restart('immediate', async () => {
      assert.deepEqual(await bytesAt(url), medium.bytes)
      const deep = await json(`http://127.0.0.1:${admin}/health/deep`)
      assert.equal(deep.status, 503)
      const checks = deep.body.checks as Record<string, { ok: boolean; error: string | null }>
      assert.equal(checks.database?.ok, false)
      assert.equal(checks.archive?.ok, true)
      assert.equal(
        (await json(`http://127.0.0.1:${serve}/health`)).status,
        200,
        'alive all the same',
      )
      assert.deepEqual(await bytesAt(url), medium.bytes)
    })
    const mark = program.mark()
    const later = await approveMedium(service)
    await archivedRun(program, 1, mark)
    await assertArchived(service, later)
    await until(async () => (await json(`http://127.0.0.1:${admin}/health/deep`)).status === 200)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
  })

  test('20 running downloads and their continuations do not notice that the database restarts', async (t) => {
    const server = await startPostgres()
    const service = await withService(t, { server })
    t.after(() => server.stop())
    const bytes = uniqueMedia('audio', 6, 16 * 1024 * 1024)
    const medium = await approveMedium(service, { kind: 'audio', bytes })
    const { program, serve } = await startService(t, service)
    await archivedRun(program, 1)
    const path = await assertArchived(service, medium)
    const url = fileUrl(serve, path, tokenFor(secret, { media_id: medium.mediaId }))
    const begin = async (range = {}): Promise<IncomingMessage> => {
      const [answer] = await once(get(url, { agent: false, headers: range }), 'response')
      return answer as IncomingMessage
    }
    // Headers are there and the rest waits in the sockets until somebody reads.
    const running = await Promise.all(Array.from({ length: 20 }, () => begin()))
    await server.restart('immediate', async () => {
      const half = bytes.length / 2
      const rest = await begin({ range: `bytes=${half}-` })
      assert.equal(rest.statusCode, 206)
      assert.ok(Buffer.concat(await rest.toArray()).equals(bytes.subarray(half)))
    })
    for (const answer of running) assert.ok(Buffer.concat(await answer.toArray()).equals(bytes))
    assert.equal((await program.stop()).code, 0)
  })

  test('waits for a database that comes later, and can be stopped while it waits', async (t) => {
    const server = await startPostgres()
    const service = await withService(t, { server })
    t.after(() => server.stop())
    const medium = await approveMedium(service)
    let patient: TalkingProgram | undefined
    await server.restart('fast', async () => {
      const stopped = (await startService(t, service)).program
      await stopped.said(/waiting for the database/)
      const ended = await stopped.stop()
      assert.equal(ended.code, 0, story(ended))
      patient = (await startService(t, service)).program
      await patient.said(/waiting for the database/)
    })
    assert.ok(patient)
    await archivedRun(patient, 1)
    await assertArchived(service, medium)
    assert.equal((await patient.stop()).code, 0)
  })

  test('serves what is archived while its syncer cannot start, says why, and starts it once it can', async (t) => {
    const service = await withService(t)
    const medium = await approveMedium(service)
    assert.equal((await service.run(['sync', '--once'])).code, 0)
    const path = await assertArchived(service, medium)
    await service.sql`update strongroom.archives set sick_at = now(), sick_reason = 'EIO'`
    const { program, serve, admin } = await startService(t, service)
    await program.said(/nothing is synced; files are served/)
    const url = fileUrl(serve, path, tokenFor(secret, { media_id: medium.mediaId }))
    assert.deepEqual(await bytesAt(url), medium.bytes)
    const deep = await json(`http://127.0.0.1:${admin}/health/deep`)
    assert.equal(deep.status, 503)
    const checks = deep.body.checks as Record<string, { error: string | null }>
    assert.equal(checks.syncer?.error, 'DISK_SICK')

    const later = await approveMedium(service)
    const mark = program.mark()
    await service.sql`update strongroom.archives set sick_at = null, sick_reason = null`
    await archivedRun(program, 1, mark)
    await assertArchived(service, later)
    assert.equal((await program.stop()).code, 0)

    await service.sql`update strongroom.archives set sick_at = now(), sick_reason = 'EIO'`
    const alone = await service.run(['start', '--role', 'sync'])
    assert.equal(alone.code, 74, story(alone))
  })

  test('lets a download that is under way end before it goes', async (t) => {
    const service = await withService(t)
    const bytes = uniqueMedia('audio', 5, 24 * 1024 * 1024)
    const medium = await approveMedium(service, { kind: 'audio', bytes })
    const { program, serve } = await startService(t, service)
    await archivedRun(program, 1)
    const path = await assertArchived(service, medium)
    const [answer] = (await once(
      get(fileUrl(serve, path, tokenFor(secret, { media_id: medium.mediaId }))),
      'response',
    )) as [IncomingMessage]
    const ended = program.stop()
    await program.said(/finishing the work in hand/)
    const read = await answer.toArray()
    assert.deepEqual(Buffer.concat(read), bytes)
    const how = await ended
    assert.equal(how.code, 0, story(how))
  })

  test('--role serve needs neither database nor bucket, only the archive and the secret', async (t) => {
    const service = await withService(t)
    const medium = await approveMedium(service)
    assert.equal((await service.run(['sync', '--once'])).code, 0)
    const path = await assertArchived(service, medium)
    const bare = { PATH: process.env.PATH ?? '', ARCHIVE_DIR: service.archiveDir, ...ports }
    const refused = await startTalking(t, ['start', '--role', 'serve'], bare).ended
    assert.equal(refused.code, 78, story(refused))
    assert.match(refused.stderr, /UNRAID_TUNNEL_SECRET is required/)

    const env = { ...bare, UNRAID_TUNNEL_SECRET: secret }
    const program = startTalking(t, ['start', '--role', 'serve'], env)
    const port = await program.port('serve')
    const token = tokenFor(secret, { media_id: medium.mediaId })
    assert.deepEqual(await bytesAt(fileUrl(port, path, token)), medium.bytes)
    assert.equal(
      (
        await fetch(
          fileUrl(port, path, tokenFor('another-secret-of-32-bytes-123456', { media_id: 1 })),
        )
      ).status,
      401,
    )
    assert.equal((await fetch(fileUrl(port, path, tokenFor(secret, { media_id: 2 })))).status, 403)
    assert.equal((await json(`http://127.0.0.1:${port}/health/deep`)).status, 200)
    assert.equal((await program.stop()).code, 0)
  })
})
