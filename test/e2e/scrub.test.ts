import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { approveMedium, assertArchived, itemOf } from '../support/media-rows.ts'
import { startTalking } from '../support/program.ts'
import { story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

async function flip(file: string): Promise<Buffer> {
  const bytes = await readFile(file)
  const flipped = Buffer.from(bytes)
  flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1
  await writeFile(file, flipped)
  return bytes
}

/** Path and query of the link that `strongroom token` prints. */
function pathOf(printed: string): string {
  const { pathname, search } = new URL(printed.trim())
  return `${pathname}${search}`
}

test('a running service heals what rots while its source lives, and serves nothing of what is lost until it is restored', async (t) => {
  const service = await withService(t)
  const media = [await approveMedium(service), await approveMedium(service)] as const
  const [rotten, lost] = media
  assert.equal((await service.run(['sync', '--once'])).code, 0)
  const [first, path] = [await assertArchived(service, rotten), await assertArchived(service, lost)]
  await flip(join(service.archiveDir, first))
  const file = join(service.archiveDir, path)
  const bytes = await flip(file)
  await service.admin.delete(lost.key)
  const token = await service.run(['token', '--media', String(lost.mediaId)], {
    UNRAID_TUNNEL_SECRET: secret,
  })
  assert.equal(token.code, 0, story(token))
  await service.sql`update strongroom.items set archived_at = archived_at - interval '1 year'`

  const program = startTalking(t, ['start'], {
    ...service.env,
    SERVER_PORT: '0',
    ADMIN_PORT: '0',
    UNRAID_TUNNEL_SECRET: secret,
    LOG_LEVEL: 'info',
  })
  const admin = await program.port('admin')
  const health = async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/health/deep`)
    const { checks, gauges } = (await answer.json()) as {
      checks: { files: { error: string | null } }
      gauges: { oldestUnverifiedSeconds: number }
    }
    assert.ok(gauges.oldestUnverifiedSeconds >= 0)
    return { status: answer.status, error: checks.files.error }
  }
  await program.said(/"damage":"damaged: its bytes are not those that were archived/)
  await program.said(/"read":2,"damaged":2,"healed":1,"lost":1,.*"message":"scrubbed"/)
  await assertArchived(service, rotten)
  assert.equal((await itemOf(service, lost.mediaId)).state, 'lost')
  // The verdict of a moment ago is given for five seconds.
  while ((await health()).status === 200) await delay(100)
  assert.deepEqual(await health(), { status: 503, error: 'ARCHIVE_DAMAGED' })
  const link = `http://127.0.0.1:${await program.port('serve')}${pathOf(token.stdout)}`
  assert.equal((await fetch(link)).status, 404)

  await writeFile(file, bytes)
  const repaired = await service.run(['verify', '--repair'])
  assert.equal(repaired.code, 0, story(repaired))
  assert.match(repaired.stdout, /1 healed/)
  await assertArchived(service, lost)
  assert.equal((await itemOf(service, lost.mediaId)).state, 'archived')
  while ((await health()).status === 503) await delay(100)
  const served = await fetch(link)
  assert.deepEqual(Buffer.from(await served.arrayBuffer()), bytes)
  const ended = await program.stop()
  assert.equal(ended.code, 0, story(ended))
})
