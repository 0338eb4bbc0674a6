import assert from 'node:assert/strict'
import { test } from 'node:test'
import { promtool, sampleOf } from '../metrics/exposition.ts'
import { approveMedium, assertArchived } from '../support/media-rows.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

test('the admin port tells what the whole node does, in figures that Prometheus takes', async (t) => {
  const service = await withService(t)
  const media = [await approveMedium(service), await approveMedium(service)]
  const env = { ...service.env, UNRAID_TUNNEL_SECRET: secret, LOG_LEVEL: 'info' }
  const program = startTalking(t, ['start'], env)
  const [admin, serve] = [await program.port('admin'), await program.port('serve')]
  await program.said(/"archived":2,.*"message":"run finished"/)
  const [first] = media
  assert.ok(first)
  const path = await assertArchived(service, first)
  const file = await fetch(fileUrl(serve, path, tokenFor(secret, { media_id: first.mediaId })))
  const { length } = Buffer.from(await file.arrayBuffer())
  await program.said(/"status":200.*"message":"request"/)

  const answer = await fetch(`http://127.0.0.1:${admin}/metrics`)
  const text = await answer.text()
  assert.equal(answer.status, 200)
  assert.equal(promtool(['check', 'metrics'], text), '')
  const expected: [string, Record<string, string>, number][] = [
    ['strongroom_items', { state: 'archived' }, 2],
    ['strongroom_items_settled_total', { outcome: 'archived' }, 2],
    [
      'strongroom_archived_bytes_total',
      {},
      media.reduce((sum, { bytes }) => sum + bytes.length, 0),
    ],
    ['strongroom_backlog_oldest_age_seconds', {}, 0],
    ['strongroom_leases', {}, 0],
    ['strongroom_runs_total', { kind: 'sync', status: 'success' }, 1],
    ['strongroom_release_grace_seconds', {}, 86_400],
    ['strongroom_downloads_total', { status: '200' }, 1],
    ['strongroom_served_bytes_total', {}, length],
    ['strongroom_dependency_errors_total', { dependency: 'database', code: 'DB_UNAVAILABLE' }, 0],
    ...['archive', 'database', 'bucket', 'files', 'syncer'].map(
      (check): [string, Record<string, string>, number] => [
        'strongroom_health_check',
        { check },
        1,
      ],
    ),
    ...['download', 'validate', 'publish', 'record'].map(
      (step): [string, Record<string, string>, number] => [
        'strongroom_step_duration_seconds_count',
        { step },
        2,
      ],
    ),
  ]
  for (const [name, labels, value] of expected)
    assert.equal(sampleOf(text, name, labels), value, `${name} ${JSON.stringify(labels)}`)
  assert.ok((sampleOf(text, 'strongroom_archive_free_bytes') ?? 0) > 0)
  assert.equal(sampleOf(text, 'strongroom_archive_reserved_bytes'), 0)
  const ended = sampleOf(text, 'strongroom_run_last_success_timestamp_seconds', { kind: 'sync' })
  assert.ok(Math.abs((ended ?? 0) - Date.now() / 1_000) < 3_600)
  assert.equal((await program.stop()).code, 0)
})
