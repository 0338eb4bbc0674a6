import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import {
  createProbe,
  type ProgramProbe,
  type RawProbe,
  type RawStream,
} from '../../src/tools/ffprobe.ts'
import { createTieredProbe } from '../../src/tools/tiered-probe.ts'
import { hasCode } from '../support/scopes.ts'

const stream: RawStream = {
  type: 'video',
  codec: 'h264',
  width: 64,
  height: 48,
  frameRate: 5,
  channels: null,
  sampleRate: null,
  attachedPicture: false,
  durationSeconds: 1,
}
const found: RawProbe = {
  demuxer: 'mov,mp4,m4a,3gp,3g2,mj2',
  majorBrand: null,
  compatibleBrands: [],
  durationSeconds: 1,
  packets: 8,
  streams: [stream],
}
const sound: RawStream = { ...stream, type: 'audio', codec: 'aac', channels: 2, sampleRate: 8_000 }

type Answer = RawProbe | { refused: string } | AppError

function answering(answer: Answer): ProgramProbe {
  return {
    probe: async () => {
      if (answer instanceof AppError) throw answer
      return answer
    },
    ready: async () => {},
    version: async () => ({ version: '1', startMs: 1 }),
    find: async () => {},
  }
}

const fullSays = { refused: 'by the full one' }
const ask = (small: Answer) =>
  createTieredProbe({
    quick: answering(small),
    small: answering(small),
    full: answering(fullSays),
  }).probe('/a')

describe('of two ffprobes the full one is asked', () => {
  const unmeasured: [why: string, answer: Answer][] = [
    ['where a picture has no dimensions', { ...found, streams: [{ ...stream, width: 0 }] }],
    ['where a codec is not known', { ...found, streams: [stream, { ...sound, codec: null }] }],
    ['where sound has no rate', { ...found, streams: [{ ...sound, sampleRate: null }] }],
    ['where there is no stream', { ...found, streams: [] }],
    ['where only it has the decoder', { ...found, demuxer: 'jpegxl_pipe' }],
    [
      'where the small one takes a DVD film for sound',
      { ...found, demuxer: 'mpeg', streams: [sound] },
    ],
    [
      'where a broadcast does not say what it holds',
      { ...found, demuxer: 'mpegts', streams: [sound] },
    ],
    ['where the small one fails', new AppError('PROBE_FAILED', 'it crashed')],
  ]
  for (const [why, answer] of unmeasured)
    test(why, async () => assert.deepEqual(await ask(answer), fullSays))
})

test('what is not measured without decoding is asked of the small one with it, before the full one', async () => {
  const tiers = {
    quick: answering({ ...found, streams: [{ ...stream, width: 0 }] }),
    small: answering(found),
    full: answering(fullSays),
  }
  assert.deepEqual(await createTieredProbe(tiers).probe('/a'), found)
})

describe('of two ffprobes the small one is believed', () => {
  const measured: [why: string, answer: RawProbe | { refused: string }][] = [
    ['where it has measured all streams', { ...found, streams: [stream, sound] }],
    [
      'where data streams have nothing to measure',
      { ...found, streams: [stream, { ...stream, type: 'data', codec: null }] },
    ],
    ['where it refuses a file', { refused: 'no medium' }],
  ]
  for (const [why, answer] of measured)
    test(why, async () => assert.deepEqual(await ask(answer), answer))
})

test('a small ffprobe that cannot be run is named, and not passed over in silence', async () => {
  const missing = new AppError('PROBE_MISSING', 'FFPROBE_SMALL_PATH: /x does not exist')
  await assert.rejects(ask(missing), missing)
})

describe('before a sync', () => {
  const other = createProbe({ path: '/bin/true' })
  const absent = createProbe({ path: '/nonexistent/ffprobe' })
  const right = answering(found)

  test('the small one must answer', async () => {
    const tiers = createTieredProbe({ quick: other, small: other, full: right })
    await assert.rejects(tiers.ready(), hasCode('PROBE_MISSING', /does not answer like ffprobe/))
  })

  test('the full one must be there, and is not started', async () => {
    await assert.rejects(
      createTieredProbe({ quick: right, small: right, full: absent }).ready(),
      hasCode('PROBE_MISSING', /^FFPROBE_PATH: \/nonexistent\/ffprobe does not exist$/),
    )
    await createTieredProbe({ quick: right, small: right, full: other }).ready()
  })
})
