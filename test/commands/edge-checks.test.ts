import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { EDGE_RANGE, type EdgeAnswer, type EdgeAnswers } from '../../src/commands/edge-answers.ts'
import { judgeEdge } from '../../src/commands/edge-checks.ts'
import { judgeFound, judgeReach, unreachable } from '../../src/commands/edge-reach.ts'

const bytes = Buffer.alloc(150_001, 'the file ')
const etag = `"${'ab'.repeat(32)}"`
const nonce = '0123456789abcdef0123456789abcdef'
const part = bytes.subarray(EDGE_RANGE.first, EDGE_RANGE.last + 1)
const url = 'https://media.example.org'

function answer(status: number, body: Buffer, headers: EdgeAnswer['headers'] = {}): EdgeAnswer {
  const known = { etag, 'content-length': String(body.length), 'content-type': 'video/mp4' }
  const echo = { 'x-strongroom-doctor': `${nonce} GET named 203.0.113.7` }
  return { status, body, nonce, headers: { ...known, ...echo, ...headers } }
}

const whole = answer(200, bytes)
const range = answer(206, part, {
  'content-range': `bytes ${EDGE_RANGE.first}-${EDGE_RANGE.last}/${bytes.length}`,
})
const head: EdgeAnswer = {
  ...whole,
  body: Buffer.alloc(0),
  headers: { ...whole.headers, 'x-strongroom-doctor': `${nonce} HEAD named 203.0.113.7` },
}
const right: EdgeAnswers = {
  early: answer(404, Buffer.from('')),
  late: whole,
  whole,
  again: whole,
  range,
  head,
  plain: range,
  plainAgain: range,
}

/** What is not `ok`, as one text. */
function wrong(answers: Partial<EdgeAnswers>): string[] {
  const findings = judgeEdge({ ...right, ...answers }, { bytes, etag })
  const told = findings.filter(({ verdict }) => verdict !== 'ok')
  for (const { setting } of told) assert.ok(setting.length > 0, 'each names a setting')
  return told.map(({ verdict, what }) => `${verdict} ${what}`)
}

const without = (given: EdgeAnswer, header: string): EdgeAnswer => {
  const { [header]: _, ...headers } = given.headers
  return { ...given, headers }
}
const having = (given: EdgeAnswer, headers: EdgeAnswer['headers']): EdgeAnswer => ({
  ...given,
  headers: { ...given.headers, ...headers },
})

describe('an edge', () => {
  test('that changes nothing has nine things right', () => {
    assert.equal(judgeEdge(right, { bytes, etag }).length, 9)
    assert.deepEqual(wrong({}), [])
  })

  for (const [what, answers, says] of [
    [
      'other bytes',
      { whole: { ...whole, body: Buffer.alloc(9) } },
      /^fail the file arrives changed: 9 bytes of 150001/,
    ],
    [
      'another range',
      { range: having(range, { 'content-range': 'bytes 0-999/150001' }) },
      /^fail Content-Range is bytes 0-999/,
    ],
    ['no Content-Range', { range: without(range, 'content-range') }, /^fail Content-Range is lost/],
    [
      'other bytes of a range',
      { range: { ...range, body: Buffer.alloc(part.length) } },
      /^fail a range arrives with other bytes/,
    ],
    ['no ETag', { range: without(range, 'etag') }, /^fail the ETag is lost/],
    ['another ETag', { whole: having(whole, { etag: '"x"' }) }, /^fail the ETag is another one/],
    [
      'another length',
      { range: having(range, { 'content-length': '1' }) },
      /^fail Content-Length is 1 instead of 1000/,
    ],
    [
      'a HEAD of another type',
      { head: having(head, { 'content-type': 'text/html' }) },
      /^fail HEAD is answered with another content-type/,
    ],
    [
      'a HEAD without a length',
      { head: without(head, 'content-length') },
      /^fail HEAD is answered with another content-length/,
    ],
    [
      'a range from its cache',
      { range: having(range, { 'x-strongroom-doctor': `${'f'.repeat(32)} GET named 192.0.2.1` }) },
      /^fail a read is answered from a cache \(which does not say so\)/,
    ],
    [
      'plain links from its cache',
      { plainAgain: having(range, { 'cf-cache-status': 'HIT' }) },
      /^note links that end in an extension suffer: the edge keeps files \(its cache says HIT\)/,
    ],
    [
      'plain links without ranges',
      { plain: whole },
      /^note links that end in an extension suffer: Range is lost/,
    ],
    [
      'an untrusted visitor',
      { whole: having(whole, { 'x-strongroom-doctor': `${nonce} GET untrusted 172.18.0.3` }) },
      /^fail CF-Connecting-IP arrives, but its sender 172\.18\.0\.3 is not trusted/,
    ],
    [
      'no echo',
      { whole: without(whole, 'x-strongroom-doctor') },
      /^note whether the visitor’s address arrives cannot be told/,
    ],
  ] as const) {
    test(`that gives ${what} is told of once`, () => {
      const told = wrong(answers)
      assert.equal(told.length, 1, told.join('\n'))
      assert.match(told[0] ?? '', says)
    })
  }
})

describe('what stands before the file server', () => {
  const ours = (code: string) => Buffer.from(`{"error":"${code}","message":"…"}\n`)

  test('is nothing when Strongroom itself says that there is no such file, compressed or not', () => {
    const text = ours('NOT_FOUND')
    for (const early of [
      answer(404, text),
      answer(404, gzipSync(text), { 'content-encoding': 'gzip' }),
      answer(404, brotliCompressSync(text), { 'content-encoding': 'br' }),
    ])
      assert.equal(judgeReach(url, early), null)
    assert.equal(judgeFound(url, whole), null)
  })

  for (const [early, says] of [
    [answer(401, ours('TOKEN_INVALID')), /does not believe a token of this UNRAID_TUNNEL_SECRET/],
    [answer(400, ours('REQUEST_INVALID')), /the link arrives changed \(400\)/],
    [answer(503, ours('VOLUME_MISSING')), /answers 503 VOLUME_MISSING/],
    [
      answer(404, Buffer.from('no gzip'), { 'content-encoding': 'gzip' }),
      /something other than Strongroom answers/,
    ],
    [answer(404, Buffer.from('<html>')), /something other than Strongroom answers at .* \(404\)/],
    [answer(403, Buffer.from('<html>'), { 'cf-ray': '8f2a' }), /the edge refuses visitors \(403\)/],
    [answer(530, Buffer.from('error code: 1033')), /does not reach the file server \(530\)/],
    [
      answer(302, Buffer.from(''), { location: 'https://t.cloudflareaccess.com/x?y' }),
      /a login stands before/,
    ],
    [
      answer(301, Buffer.from(''), { location: 'https://x.example.org/a?token=t' }),
      /leads elsewhere: 301 to https:\/\/x\.example\.org\/a$/,
    ],
  ] as const) {
    test(`is told apart by its answer: ${String(says)}`, () => {
      const finding = judgeReach(url, early)
      assert.match(finding?.what ?? '', says)
      assert.equal(finding?.verdict, 'fail')
      assert.ok((finding?.setting.length ?? 0) > 0)
    })
  }

  for (const [code, hint] of [
    ['ENOTFOUND', /the name is not known/],
    ['CERT_HAS_EXPIRED', /its certificate is not believed/],
    ['ECONNRESET', /cloudflared runs/],
  ] as const) {
    test(`is told apart by its silence: ${code}`, () => {
      const error = unreachable(url, Object.assign(new Error('x'), { code }))
      assert.match(
        error.message,
        new RegExp(`nothing answers at https://media.example.org \\(${code}\\)`),
      )
      assert.match(error.hint, hint)
    })
  }
})
