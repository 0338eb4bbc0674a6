import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { renderArchivePath } from '../../src/archive-path.ts'
import { type ChosenPath, inferLayout } from '../../src/shadow/layout.ts'

const SHA256 = 'ab'.repeat(32)

/** Media as they come: ids that look like days, names that hold numbers. */
function chosenBy(layout: string, count = 12): ChosenPath[] {
  return Array.from({ length: count }, (_, n) => {
    const media = {
      mediaId: n * 7 + 1,
      userId: (n % 3) + 1,
      title: null,
      filename: n % 2 === 0 ? `IMG_${n} of 11.jpg` : `clip-${n}.mp4`,
      contentType: n % 2 === 0 ? ('image' as const) : ('video' as const),
      mimeType: null,
      declaredBytes: null,
      objectKey: `uploads/${n}`,
      approvedAt: new Date(Date.UTC(2026, n % 12, (n * 5) % 28, 12)),
    }
    return { media, sha256: SHA256, path: renderArchivePath(layout, { media, sha256: SHA256 }) }
  })
}

describe('the layout of another service is read from its paths', () => {
  for (const layout of [
    '{filename}',
    '{media_id}/{filename}',
    '{year}/{month}/{filename}',
    '{year}-{month}-{day}/{media_id}-{filename}',
    '{content_type}/{user_id}/{media_id}.{ext}',
    'media/{year}{month}/{stem}_{media_id}.{ext}',
    '{content_type}s/{year}/{media_id}/{filename}',
    '{sha256_2}/{sha256}.{ext}',
  ])
    test(layout, () => {
      const chosen = chosenBy(layout)
      const found = inferLayout(chosen)
      assert.equal(found?.gives.size, chosen.length, `${found?.layout}`)
      for (const { path, ...facts } of chosenBy(layout, 40).slice(12))
        assert.equal(renderArchivePath(found?.layout ?? '', facts), path, `${found?.layout}`)
    })

  test('of paths that follow none, none is made up', () => {
    const paths = chosenBy('{filename}').map((one, n) => ({ ...one, path: `${n ** 3}/x${n}.bin` }))
    assert.equal(inferLayout(paths), null)
  })

  test('one that lies elsewhere keeps it from no other', () => {
    const chosen = chosenBy('{year}/{media_id}/{filename}')
    const odd = chosen.map((one, n) => (n === 0 ? { ...one, path: 'lost/and/found.jpg' } : one))
    assert.equal(inferLayout(odd)?.gives.size, chosen.length - 1)
  })
})
