import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { approveMedium, assertArchived } from '../support/media-rows.ts'
import { startTalking } from '../support/program.ts'
import { story, withService } from '../support/service.ts'

test('a running service notices what rots, says it in its log and its health, and takes it back once it is restored', async (t) => {
  const service = await withService(t)
  const [rotten, sound] = [await approveMedium(service), await approveMedium(service)]
  assert.equal((await service.run(['sync', '--once'])).code, 0)
  const path = await assertArchived(service, rotten)
  const file = join(service.archiveDir, path)
  const bytes = await readFile(file)
  const flipped = Buffer.from(bytes)
  flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1
  await writeFile(file, flipped)
  await service.sql`update strongroom.items set archived_at = archived_at - interval '1 year'`

  const program = startTalking(t, ['start'], {
    ...service.env,
    SERVER_PORT: '0',
    ADMIN_PORT: '0',
    UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
    LOG_LEVEL: 'info',
  })
  const admin = await program.port('admin')
  const health = async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/health/deep`)
    const { checks } = (await answer.json()) as { checks: { files: { error: string | null } } }
    return { status: answer.status, error: checks.files.error }
  }
  await program.said(/"damage":"damaged: its bytes are not those that were archived/)
  await program.said(/"read":2,"damaged":1,.*"message":"scrubbed"/)
  // The verdict of a moment ago is given for five seconds.
  while ((await health()).status === 200) await delay(100)
  assert.deepEqual(await health(), { status: 503, error: 'ARCHIVE_DAMAGED' })
  assert.deepEqual(await readFile(file), flipped, 'it only tells')
  await assertArchived(service, sound)

  await writeFile(file, bytes)
  const verified = await service.run(['verify'])
  assert.equal(verified.code, 0, story(verified))
  while ((await health()).status === 503) await delay(100)
  const ended = await program.stop()
  assert.equal(ended.code, 0, story(ended))
})
