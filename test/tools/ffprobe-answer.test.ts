import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { clean, readAnswer } from '../../src/tools/ffprobe-answer.ts'

const stream = { codec_type: 'video', codec_name: 'h264', width: 64, height: 48 }

function streamOf(facts: object) {
  const answer = readAnswer(
    JSON.stringify({ format: { format_name: 'x' }, streams: [{ ...stream, ...facts }] }),
  )
  assert.ok(answer && 'streams' in answer)
  const [first] = answer.streams
  assert.ok(first)
  return first
}

describe("ffprobe's answer", () => {
  test('is read whatever it contains, without an exception', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void readAnswer(text)))
    fc.assert(fc.property(fc.json(), (text) => void readAnswer(text)))
  })

  test('never yields a number that is not one, or a text with control characters', () => {
    const odd = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary', maxLength: 500 }), fc.double())
    const keys = ['codec_type', 'codec_name', 'width', 'height', 'avg_frame_rate', 'duration']
    const more = ['channels', 'sample_rate', 'nb_read_packets', 'disposition']
    const streams = fc.array(fc.record(Object.fromEntries([...keys, ...more].map((k) => [k, odd]))))
    const format = fc.record({ format_name: fc.string(), duration: odd })
    fc.assert(
      fc.property(fc.record({ format, streams }), (answer) => {
        const found = readAnswer(JSON.stringify(answer))
        assert.ok(found && 'streams' in found)
        for (const value of [found, ...found.streams].flatMap((part) => Object.values(part))) {
          if (typeof value === 'number') assert.ok(Number.isFinite(value))
          if (typeof value === 'string') assert.match(value, /^[^\p{Cc}\p{Cf}]{0,200}$/u)
        }
      }),
    )
  })

  test('tells no cover for contents, unless the first packets are all of covers', () => {
    const cover = { disposition: { attached_pic: 1 }, nb_read_packets: '1' }
    const packetsOf = (...streams: object[]) => {
      const found = readAnswer(JSON.stringify({ format: { format_name: 'flac' }, streams }))
      return found && 'packets' in found && found.packets
    }
    assert.equal(packetsOf({ nb_read_packets: '7' }, cover), 7)
    assert.equal(packetsOf({ nb_read_packets: 'N/A' }, cover), 0)
    assert.equal(packetsOf({}, ...Array<object>(8).fill(cover)), 8)
  })

  test('with an error tells its code', () => {
    const text = '{"error":{"code":-22,"string":"Invalid\\u0007 argument"}}'
    assert.deepEqual(readAnswer(text), { code: -22, text: 'Invalid argument' })
  })

  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"streams":[]}',
    '{"format":{}}',
    '{"format":{"format_name":1}}',
  ]) {
    test(`is none when it is ${text || 'empty'}`, () => assert.equal(readAnswer(text), null))
  }

  test('knows a codec only when ffprobe knows it', () => {
    for (const codec_name of ['unknown', 'none', '', null, undefined, 7]) {
      assert.equal(streamOf({ codec_name }).codec, null)
    }
  })

  test('gives frame rates as numbers and nothing where there is none', () => {
    assert.equal(streamOf({ avg_frame_rate: '30000/1001' }).frameRate, 29.97)
    for (const rate of ['0/0', '1/0', '0/1', '', '25', '-1/1', '1e9/1', null, 25]) {
      assert.equal(streamOf({ avg_frame_rate: rate }).frameRate, null)
    }
  })

  test('reads brands in fours, spaces and all', () => {
    const tags = { major_brand: 'qt  ', compatible_brands: 'qt  isomM4A ' }
    const text = JSON.stringify({ format: { format_name: 'x', tags }, streams: [] })
    const answer = readAnswer(text)
    assert.ok(answer && 'streams' in answer)
    assert.deepEqual(answer.compatibleBrands, ['qt  ', 'isom', 'M4A '])
    assert.equal(answer.majorBrand, 'qt')
  })
})

test('a cleaned text is one line of at most 200 characters that hides nothing', () => {
  assert.equal(clean(' a\n\tb\u202e\u0000c\u200b d '), 'a b c d')
  assert.equal(clean('x'.repeat(300)).length, 200)
  assert.equal(clean(`${'x'.repeat(199)}😀`), `${'x'.repeat(199)}\ufffd`)
})
