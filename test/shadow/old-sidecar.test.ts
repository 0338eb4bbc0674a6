import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type KnownFacts, wrongFacts } from '../../src/shadow/old-sidecar.ts'

const known: KnownFacts = {
  mediaId: 7,
  userId: [3],
  title: ['A film'],
  filename: ['film.mp4'],
  kind: ['video', 'movie'],
  mimeType: ['video/mp4'],
  bytes: [1000],
  sha256: ['ab'.repeat(32)],
  etag: ['cd'.repeat(16)],
  key: 'uploads/7.mp4',
  path: '2026/11/7/film.mp4',
  durationSeconds: 61.4,
  widths: [640],
  heights: [480],
  approvedAt: new Date('2026-11-02T03:04:05.678Z'),
}

describe('a sidecar of another service', () => {
  const right: Record<string, unknown>[] = [
    { media_id: 7, user_id: 3, title: 'A film', filename: 'film.mp4' },
    { mediaId: '7', userId: '3', originalName: 'film.mp4', contentType: 'video/mp4' },
    { id: 7, media_type: 'movie', 'content-type': 'video', mimeType: 'video/mp4' },
    { media: { id: 7 }, source: { id: 'anything', key: 'uploads/7.mp4' } },
    {
      sha256: 'AB'.repeat(32),
      md5: 'cd'.repeat(16),
      checksum: 'crc32:1234',
      hash: 'ab'.repeat(32),
    },
    { size: 1000, bytes: '1000', file_size: 1000 },
    { path: '/mnt/user/media/2026/11/7/film.mp4', archive_path: '2026/11/7/film.mp4' },
    { path: '2026/11/7', duration: '61.8', width: 640, height: '480' },
    { approved_at: '2026-11-02T04:04:05+01:00', archived_at: '2030-01-01', tool: 'r2-sync.sh' },
    { title: null, size: '', user_id: null, tags: ['7'] },
  ]
  for (const sidecar of right)
    test(`${JSON.stringify(sidecar)} says nothing wrong`, () => {
      assert.deepEqual(wrongFacts(sidecar, known), [])
    })

  const wrong: Record<string, unknown>[] = [
    { media_id: 8 },
    { id: '8' },
    { media: { id: 8 } },
    { user_id: 4 },
    { title: 'Another film' },
    { filename: 'other.mp4' },
    { content_type: 'image' },
    { mime_type: 'image/png' },
    { size: 999 },
    { sha256: 'ff'.repeat(32) },
    { md5: 'ff'.repeat(16) },
    { source: { key: 'uploads/8.mp4' } },
    { path: '2026/11/8/film.mp4' },
    { duration: 90 },
    { width: 1920 },
    { approved_at: '2026-11-03T03:04:05Z' },
  ]
  for (const sidecar of wrong)
    test(`${JSON.stringify(sidecar)} says one thing that is wrong`, () => {
      assert.equal(wrongFacts(sidecar, known).length, 1)
    })

  test('every fact that is wrong is named', () => {
    assert.deepEqual(wrongFacts({ media_id: 8, size: 1, title: 'A film' }, known), [
      'media_id is "8"',
      'size is "1"',
    ])
  })
})
