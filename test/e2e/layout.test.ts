import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { tree, violations } from '../support/checker.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
const moved = { ARCHIVE_LAYOUT: 'by-id/{media_id}/{sha256_2}/{filename}' }

test('a changed ARCHIVE_LAYOUT renames nothing: old paths and old links go on working, and only new files take the new form', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '1' } })
  const { sql } = service
  const pathOf = async (mediaId: number): Promise<string> => {
    const [row] = await sql<{ path: string; column: string }[]>`
      select i.archive_path as path, m.archive_path as column
      from strongroom.items i join media m on m.id = i.media_id where m.id = ${mediaId}`
    assert.equal(row?.path, row?.column)
    return row?.path ?? ''
  }
  await service.approve(2)
  const first = await service.run(['sync', '--once'])
  assert.equal(first.code, 0, story(first))
  // A third one is being filed under the old layout when its worker dies.
  await service.approve(1)
  const killed = await service.run(['sync', '--once'], { STRONGROOM_HALT: 'published:SIGKILL' })
  assert.equal(killed.signal, 'SIGKILL', story(killed))
  await service.expireLeases()
  const old = { ...(await tree(service.archiveDir)) }
  const [committed] = await sql<{ path: string }[]>`
    select archive_path as path from strongroom.items where media_id = 3`

  await service.approve(1)
  for (const args of [['sync', '--once'], ['reconcile'], ['fsck'], ['verify']]) {
    const ended = await service.run(args, moved)
    assert.equal(ended.code, 0, `${args.join(' ')}: ${story(ended)}`)
  }
  const now = await tree(service.archiveDir)
  for (const [path, facts] of Object.entries(old))
    if (!path.startsWith('.strongroom')) assert.equal(now[path], facts, `${path} is as it was`)
  assert.equal(await pathOf(3), committed?.path, 'a path is rendered once')
  assert.match(committed?.path ?? '', /^\d{4}\/\d\d\/3\//)
  assert.match(await pathOf(4), /^by-id\/4\/[0-9a-f]{2}\/4\./)
  assert.deepEqual(await violations(service, { converged: true }), [])

  const env = { ...service.env, ...moved, UNRAID_TUNNEL_SECRET: secret }
  const program = startTalking(t, ['start', '--role', 'serve'], env)
  const port = await program.port('serve')
  for (const { mediaId, sha256, sizeBytes } of service.uploads) {
    const path = await pathOf(mediaId)
    assert.ok(now[path]?.endsWith(sha256), join(service.archiveDir, path))
    const token = tokenFor(secret, { media_id: mediaId })
    for (const link of [
      fileUrl(port, path, token),
      fileUrl(port, path, token).replace('/-?', '?'),
    ]) {
      const answer = await fetch(link)
      assert.equal(answer.status, 200, path)
      assert.equal((await answer.arrayBuffer()).byteLength, sizeBytes)
    }
  }
  await program.stop()
})
