import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ConditionalHeaders, judgeRequest, parseRange } from '../../src/serve/range.ts'

const file = { sizeBytes: 1000, etag: '"abc"', lastModified: new Date('2026-01-02T03:04:05.678Z') }
const same = 'Fri, 02 Jan 2026 03:04:05 GMT'
const earlier = 'Fri, 02 Jan 2026 03:04:04 GMT'
const later = 'Fri, 02 Jan 2026 03:04:06 GMT'

type Expected = [number, number] | 'ignored' | 'unsatisfiable'
const ranges: [string, number, Expected][] = [
  ['bytes=0-0', 1000, [0, 1]],
  ['bytes=0-999', 1000, [0, 1000]],
  ['bytes=0-1000', 1000, [0, 1000]],
  ['bytes=5-', 1000, [5, 995]],
  ['bytes=999-', 1000, [999, 1]],
  ['bytes=-1', 1000, [999, 1]],
  ['bytes=-1000', 1000, [0, 1000]],
  ['bytes=-5000', 1000, [0, 1000]],
  ['BYTES=1-2', 1000, [1, 2]],
  [' bytes=1-2 ', 1000, [1, 2]],
  ['bytes=0001-0002', 1000, [1, 2]],
  ['bytes=0-99999999999999999999999999', 1000, [0, 1000]],
  [`bytes=${2 ** 32}-${2 ** 32}`, 2 ** 33, [2 ** 32, 1]],
  [`bytes=${2 ** 52}-`, 2 ** 52 + 2, [2 ** 52, 2]],
  ['bytes=1000-', 1000, 'unsatisfiable'],
  ['bytes=1000-2000', 1000, 'unsatisfiable'],
  ['bytes=-0', 1000, 'unsatisfiable'],
  ['bytes=99999999999999999999999999-', 1000, 'unsatisfiable'],
  ['bytes=2-1', 1000, 'ignored'],
  ['bytes=99999999999999999-99999999999999998', 1000, 'ignored'],
  ['bytes=-', 1000, 'ignored'],
  ['bytes=', 1000, 'ignored'],
  ['bytes=0-1,5-6', 1000, 'ignored'],
  ['bytes=0-1, 5-6', 1000, 'ignored'],
  ['bytes=a-b', 1000, 'ignored'],
  ['bytes=0x1-0x2', 1000, 'ignored'],
  ['bytes=1.0-2', 1000, 'ignored'],
  ['bytes=+1-2', 1000, 'ignored'],
  ['bytes=--1', 1000, 'ignored'],
  ['bytes=1--2', 1000, 'ignored'],
  ['bytes 1-2', 1000, 'ignored'],
  ['bytes = 1-2', 1000, 'ignored'],
  ['items=1-2', 1000, 'ignored'],
  ['1-2', 1000, 'ignored'],
  ['', 1000, 'ignored'],
  ['bytes=0-', 0, 'ignored'],
  ['bytes=-1', 0, 'ignored'],
]
for (const [header, sizeBytes, expected] of ranges) {
  test(`"${header}" of ${sizeBytes} bytes is ${expected}`, () => {
    const [start = 0, length = 0] = typeof expected === 'string' ? [] : expected
    const wanted = typeof expected === 'string' ? expected : { start, length }
    assert.deepEqual(parseRange(header, sizeBytes), wanted)
  })
}

test('a range never reaches outside of the file, whatever is asked for', () => {
  const digits = fc.oneof(fc.constant(''), fc.nat().map(String), fc.bigInt({ min: 0n }).map(String))
  fc.assert(
    fc.property(
      fc.oneof(
        fc.tuple(digits, digits).map(([a, b]) => `bytes=${a}-${b}`),
        fc.string(),
        fc.string().map((text) => `bytes=${text}`),
      ),
      fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      (header, sizeBytes) => {
        const range = parseRange(header, sizeBytes)
        if (typeof range === 'string') return
        assert.ok(Number.isSafeInteger(range.start) && Number.isSafeInteger(range.length))
        assert.ok(range.start >= 0 && range.length > 0)
        assert.ok(range.start + range.length <= sizeBytes)
      },
    ),
    { numRuns: 2000 },
  )
})

const conditions: [ConditionalHeaders, number][] = [
  [{}, 200],
  [{ 'if-match': '"abc"' }, 200],
  [{ 'if-match': '*' }, 200],
  [{ 'if-match': '"x", "abc"' }, 200],
  [{ 'if-match': '"x"' }, 412],
  [{ 'if-match': 'W/"abc"' }, 412],
  [{ 'if-match': 'abc' }, 412],
  [{ 'if-match': '"x"', 'if-none-match': '"abc"' }, 412],
  [{ 'if-match': '"abc"', 'if-none-match': '"abc"' }, 304],
  [{ 'if-unmodified-since': same }, 200],
  [{ 'if-unmodified-since': earlier }, 412],
  [{ 'if-unmodified-since': 'nonsense' }, 200],
  [{ 'if-match': '"abc"', 'if-unmodified-since': earlier }, 200],
  [{ 'if-none-match': '"abc"' }, 304],
  [{ 'if-none-match': 'W/"abc"' }, 304],
  [{ 'if-none-match': '"x", W/"abc"' }, 304],
  [{ 'if-none-match': '*' }, 304],
  [{ 'if-none-match': '"x"' }, 200],
  [{ 'if-none-match': 'abc' }, 200],
  [{ 'if-none-match': '' }, 200],
  [{ 'if-modified-since': same }, 304],
  [{ 'if-modified-since': later }, 304],
  [{ 'if-modified-since': earlier }, 200],
  [{ 'if-modified-since': '2027' }, 200],
  [{ 'if-modified-since': 'Fri, 99 Xxx 2026 03:04:05 GMT' }, 200],
  [{ 'if-none-match': '"x"', 'if-modified-since': later }, 200],
  [{ range: 'bytes=1-2' }, 206],
  [{ range: 'bytes=1-2', 'if-range': '"abc"' }, 206],
  [{ range: 'bytes=1-2', 'if-range': same }, 206],
  [{ range: 'bytes=1-2', 'if-range': 'W/"abc"' }, 200],
  [{ range: 'bytes=1-2', 'if-range': '"x"' }, 200],
  [{ range: 'bytes=1-2', 'if-range': later }, 200],
  [{ range: 'bytes=1-2', 'if-range': earlier }, 200],
  [{ range: 'bytes=1-2', 'if-range': '' }, 200],
  [{ range: 'bytes=1000-', 'if-range': '"x"' }, 200],
  [{ range: 'bytes=1000-' }, 416],
  [{ range: 'bytes=1-2', 'if-none-match': '"abc"' }, 304],
  [{ range: 'bytes=1000-', 'if-match': '"x"' }, 412],
]
for (const [headers, status] of conditions) {
  test(`a GET with ${JSON.stringify(headers)} is answered ${status}`, () => {
    assert.equal(judgeRequest('GET', headers, file).status, status)
  })
}

test('a range counts only for GET', () => {
  for (const range of ['bytes=1-2', 'bytes=1000-']) {
    assert.deepEqual(judgeRequest('HEAD', { range }, file), { status: 200, start: 0, length: 1000 })
  }
})
