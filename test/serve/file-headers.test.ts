import assert from 'node:assert/strict'
import { validateHeaderValue } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { contentDisposition, fileHeaders, mediaTypeOf } from '../../src/serve/file-headers.ts'
import type { Sidecar } from '../../src/sidecar.ts'
import { sidecarOf, withFileServer } from '../support/file-server.ts'

const now = new Date('2026-05-01T12:00:00.900Z')
const visit = { expiresAt: now.getTime() / 1000 + 60, now, inline: false, embeddable: false }

function headersOf(sidecar: Sidecar, request = visit): Record<string, string> {
  const { ofCaching, ofFile } = fileHeaders(sidecar, request)
  const list = [...ofCaching, ...ofFile]
  return Object.fromEntries(
    list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? '']] : [])),
  )
}

function dispositionOf(filename: string | null, inline = false, mime_type = 'video/mp4'): string {
  return contentDisposition(sidecarOf({ archive_path: 'a/filed.mp4', filename, mime_type }), inline)
}

for (const [filename, expected] of [
  ['film.mp4', 'attachment; filename="film.mp4"'],
  [null, 'attachment; filename="filed.mp4"'],
  ['', 'attachment; filename="filed.mp4"'],
  ['...', 'attachment; filename="filed.mp4"'],
  ['../../etc/passwd', 'attachment; filename="passwd"'],
  ['C:\\film.mp4', 'attachment; filename="film.mp4"'],
  ['.hidden', 'attachment; filename="hidden"'],
  ['a\r\nSet-Cookie: x.mp4', 'attachment; filename="aSet-Cookie: x.mp4"'],
  ['a"b.mp4', `attachment; filename="a_b.mp4"; filename*=UTF-8''a%22b.mp4`],
  ['100%.mp4', `attachment; filename="100_.mp4"; filename*=UTF-8''100%25.mp4`],
  ['é.mp4', `attachment; filename="_.mp4"; filename*=UTF-8''%C3%A9.mp4`],
  ["é('*).mp4", `attachment; filename="_('*).mp4"; filename*=UTF-8''%C3%A9%28%27%2A%29.mp4`],
  ['fdp.\u202e4pm', 'attachment; filename="fdp.4pm"'],
] as const) {
  test(`a file called ${JSON.stringify(filename)} is offered as ${expected}`, () => {
    assert.equal(dispositionOf(filename), expected)
  })
}

test('a very long name is cut and keeps its extension', () => {
  assert.equal(
    dispositionOf(`${'n'.repeat(5000)}.mp4`),
    `attachment; filename="${'n'.repeat(196)}.mp4"`,
  )
})

test('no name that an uploader may choose holds up the others', () => {
  // The longest that a row may have. Each such name took half a minute, in which nobody else was served.
  const name = `a${'.'.repeat(128 * 1024 - 6)}x.mp4`
  for (let request = 0; request < 200; request++) assert.match(dispositionOf(name), /\.mp4"$/)
})

test('whatever a file is called, its headers can be sent and name no path', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (filename, type) => {
      const sidecar = sidecarOf({ archive_path: 'a/filed.mp4', filename, mime_type: type })
      const headers = headersOf(sidecar)
      for (const [name, value] of Object.entries(headers)) validateHeaderValue(name, value)
      const disposition = headers['Content-Disposition'] ?? ''
      assert.match(
        disposition,
        /^attachment; filename="[^"\\%/]+"(; filename\*=UTF-8''[\w!#$&+.^`|~%-]+)?$/,
      )
      assert.ok(Buffer.byteLength(disposition) < 4096)
    }),
    { numRuns: 2000 },
  )
})

test('what is no media type is sent as plain bytes', () => {
  for (const type of ['', 'video', 'video/', '/mp4', 'a/b; c=d', 'a/b\r\nX: y', 'a b/c', 'a/b/c']) {
    const sidecar = sidecarOf({ archive_path: 'a', mime_type: type })
    assert.equal(mediaTypeOf(sidecar), 'application/octet-stream')
    assert.match(dispositionOf('a', true, type), /^attachment/)
  }
})

test('a scalable picture is never shown in place, a photograph is', () => {
  for (const type of ['image/svg+xml', 'IMAGE/SVG+XML', 'text/html', 'application/pdf']) {
    assert.match(dispositionOf('a', true, type), /^attachment/)
  }
  for (const type of ['image/jpeg', 'image/png', 'image/heic', 'video/webm', 'audio/flac']) {
    assert.match(dispositionOf('a', true, type), /^inline/)
    assert.match(dispositionOf('a', false, type), /^attachment/)
  }
})

test('the cache age never exceeds the rest of the token', () => {
  const sidecar = sidecarOf({ archive_path: 'a' })
  const age = (expiresAt: number) => headersOf(sidecar, { ...visit, expiresAt })['Cache-Control']
  const seconds = now.getTime() / 1000
  assert.equal(age(seconds + 59.9), 'private, max-age=59, no-transform')
  assert.equal(age(seconds + 99_999), 'private, max-age=3600, no-transform')
  assert.equal(age(seconds - 1), 'private, max-age=0, no-transform')
})

test('a file filed by a clock that is ahead has no Last-Modified, and no date is compared with it, until then (RFC 9110 8.8.2.1)', async () => {
  let passedMs = 0
  const filedAt = new Date(Date.now() + 3_600_000)
  const [same, before] = [filedAt, new Date()].map((date) => date.toUTCString()) as [string, string]
  const now = () => new Date(Date.now() + passedMs)
  await withFileServer({ now }, async ({ file, token, ask }) => {
    await file('f.mp4', 'film', { filed_at: filedAt.toISOString() })
    const target = `/f.mp4?token=${await token(1, 7_200)}`
    const range = 'bytes=0-1'
    const cases: [headers: Record<string, string>, ahead: number, afterwards: number][] = [
      [{}, 200, 200],
      [{ 'If-Modified-Since': same }, 200, 304],
      [{ 'If-Unmodified-Since': before }, 200, 412],
      [{ Range: range, 'If-Range': same }, 200, 206],
      [{ Range: range }, 206, 206],
    ]
    for (const [headers, ahead] of cases) {
      const answer = await ask(target, { headers })
      assert.equal(answer.status, ahead, JSON.stringify(headers))
      assert.equal(answer.headers['last-modified'], undefined)
      assert.match(String(answer.headers.etag), /^"[0-9a-f]{64}"$/)
    }
    passedMs = 3_600_000
    for (const [headers, , afterwards] of cases) {
      const answer = await ask(target, { headers })
      assert.equal(answer.status, afterwards, JSON.stringify(headers))
      if (afterwards !== 412) assert.equal(answer.headers['last-modified'], same)
    }
  })
})
