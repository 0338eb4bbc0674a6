import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fixtureBytes, mediaBytes } from '../support/media-files.ts'
import { approveMedium, assertArchived, assertKept, itemOf } from '../support/media-rows.ts'
import { story, withService } from '../support/service.ts'

test('HEIC, AVIF, WebP and JPEG XL are archived as what they are, halves of them and SVG are not', async (t) => {
  const service = await withService(t)
  const good = [
    ['phone.jpg', fixtureBytes('still.heic'), 'image/heic'],
    ['tiles.avif', fixtureBytes('grid.avif'), 'image/avif'],
    ['sticker.png', mediaBytes('webp-animated'), 'image/webp'],
    ['boxed.jxl', fixtureBytes('container.jxl'), 'image/jxl'],
    ['bare.jxl', mediaBytes('jxl'), 'image/jxl'],
  ] as const
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
  const bad = [
    ...good.map(([name, bytes]) => [name, bytes.subarray(0, bytes.length / 2)] as const),
    ['logo.svg', svg] as const,
    ['logo.png', svg] as const,
  ]
  const archived = []
  for (const [filename, bytes, mimeType] of good)
    archived.push([await approveMedium(service, { filename, bytes }), mimeType] as const)
  const refused = []
  for (const [filename, bytes] of bad)
    refused.push(await approveMedium(service, { filename, bytes }))

  const ended = await service.run(['sync', '--once', '--json'])
  assert.equal(ended.code, 0, story(ended))
  for (const [medium, mimeType] of archived) {
    const path = await assertArchived(service, medium)
    const sidecar = JSON.parse(await readFile(join(service.archiveDir, `${path}.json`), 'utf8'))
    assert.equal(sidecar.mime_type, mimeType)
  }
  for (const medium of refused) {
    const { state, error_message: reason } = await itemOf(service, medium.mediaId)
    assert.equal(state, 'rejected')
    assert.match(reason ?? '', /cut off|Unexpected end|^SVG is not accepted: it can carry scripts/)
    await assertKept(service, medium)
  }
})
