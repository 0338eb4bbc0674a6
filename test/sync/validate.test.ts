import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { type MediaKind, mediaKinds } from '../../src/media.ts'
import { judge, validate } from '../../src/sync/validate.ts'
import { createProbe, type Probe, type RawProbe, type RawStream } from '../../src/tools/ffprobe.ts'
import {
  type MediaFileName,
  mediaFile,
  mediaFileNames,
  uniqueMedia,
  uniqueMediaTypes,
} from '../support/media-files.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

const probe = createProbe({ path: 'ffprobe' })

const blank = { frameRate: null, attachedPicture: false, durationSeconds: null } as const
const none = { ...blank, width: null, height: null, channels: null, sampleRate: null }
const picture: RawStream = { ...none, type: 'video', codec: 'h264', width: 64, height: 48 }
const sound: RawStream = { ...none, type: 'audio', codec: 'aac', channels: 2, sampleRate: 48_000 }
const cover: RawStream = { ...picture, codec: 'mjpeg', attachedPicture: true }

function found(facts: Partial<RawProbe> = {}): RawProbe {
  return {
    demuxer: 'mov,mp4,m4a,3gp,3g2,mj2',
    majorBrand: 'isom',
    compatibleBrands: [],
    durationSeconds: 1,
    packets: 8,
    streams: [picture, sound],
    ...facts,
  }
}

function reasonOf(facts: Partial<RawProbe>, declared: MediaKind | null = null): string | null {
  const verdict = judge(found(facts), declared)
  return verdict.valid ? null : verdict.reason
}

const expected: Record<MediaFileName, [kind: MediaKind, container: string, mimeType: string]> = {
  mp4: ['video', 'mp4', 'video/mp4'],
  'mp4-faststart': ['video', 'mp4', 'video/mp4'],
  'mp4-fragmented': ['video', 'mp4', 'video/mp4'],
  'mp4-audio': ['audio', 'mp4', 'audio/mp4'],
  mov: ['video', 'quicktime', 'video/quicktime'],
  m4a: ['audio', 'm4a', 'audio/mp4'],
  'm4a-cover': ['audio', 'm4a', 'audio/mp4'],
  '3gp': ['video', '3gp', 'video/3gpp'],
  '3g2': ['video', '3g2', 'video/3gpp2'],
  webm: ['video', 'webm', 'video/webm'],
  'webm-live': ['video', 'webm', 'video/webm'],
  'webm-audio': ['audio', 'webm', 'audio/webm'],
  mkv: ['video', 'matroska', 'video/x-matroska'],
  mka: ['audio', 'matroska', 'audio/x-matroska'],
  avi: ['video', 'avi', 'video/x-msvideo'],
  ts: ['video', 'mpegts', 'video/mp2t'],
  mpg: ['video', 'mpeg', 'video/mpeg'],
  vob: ['video', 'mpeg', 'video/mpeg'],
  flv: ['video', 'flv', 'video/x-flv'],
  wmv: ['video', 'asf', 'video/x-ms-wmv'],
  wma: ['audio', 'asf', 'audio/x-ms-wma'],
  ogv: ['video', 'ogg', 'video/ogg'],
  ogg: ['audio', 'ogg', 'audio/ogg'],
  opus: ['audio', 'ogg', 'audio/ogg'],
  wav: ['audio', 'wav', 'audio/wav'],
  mp3: ['audio', 'mp3', 'audio/mpeg'],
  'mp3-cover': ['audio', 'mp3', 'audio/mpeg'],
  flac: ['audio', 'flac', 'audio/flac'],
  'flac-cover': ['audio', 'flac', 'audio/flac'],
  aac: ['audio', 'aac', 'audio/aac'],
  aiff: ['audio', 'aiff', 'audio/aiff'],
  jpeg: ['image', 'jpeg', 'image/jpeg'],
  png: ['image', 'png', 'image/png'],
  apng: ['image', 'apng', 'image/apng'],
  gif: ['image', 'gif', 'image/gif'],
  'gif-still': ['image', 'gif', 'image/gif'],
  webp: ['image', 'webp', 'image/webp'],
  'webp-lossless': ['image', 'webp', 'image/webp'],
  'webp-alpha': ['image', 'webp', 'image/webp'],
  'webp-animated': ['image', 'webp', 'image/webp'],
  bmp: ['image', 'bmp', 'image/bmp'],
  tiff: ['image', 'tiff', 'image/tiff'],
  avif: ['image', 'avif', 'image/avif'],
  'avif-sequence': ['image', 'avif', 'image/avif'],
  'heic-sequence': ['image', 'heic', 'image/heic'],
  jxl: ['image', 'jxl', 'image/jxl'],
}

describe('a real file', () => {
  for (const name of mediaFileNames) {
    const [kind, container, mimeType] = expected[name]
    test(`of the format ${name} is accepted as ${kind}, ${mimeType}, and as nothing else`, async () => {
      const absolutePath = await mediaFile(name)
      const { size: sizeBytes } = await stat(absolutePath)
      const as = (kind: MediaKind | null) => validate({ probe, absolutePath, sizeBytes, kind })
      for (const declared of [kind, null]) {
        const verdict = await as(declared)
        assert.ok(verdict.valid)
        const { facts } = verdict
        assert.deepEqual([facts.kind, facts.container, facts.mimeType], [kind, container, mimeType])
        assert.equal(facts.durationSeconds === null, kind === 'image' || name === 'webm-live')
      }
      for (const declared of mediaKinds) {
        const allowed = declared === kind || (container === 'gif' && declared === 'video')
        assert.equal((await as(declared)).valid, allowed, declared)
      }
    })
  }

  test('made for other tests is valid, whatever its seed and size, and unlike all others', async (t) => {
    const absolutePath = join(await withFolder(t), 'item.part')
    const seen = new Set<string>()
    for (const kind of mediaKinds) {
      for (const [seed, minBytes] of [
        [0, 0],
        [1, 0],
        [2, 100_001],
        [2 ** 40, 70_000],
      ] as const) {
        const bytes = uniqueMedia(kind, seed, minBytes)
        assert.ok(bytes.length >= minBytes)
        seen.add(bytes.toString('latin1'))
        await writeFile(absolutePath, bytes)
        const verdict = await validate({ probe, absolutePath, kind, sizeBytes: bytes.length })
        assert.equal(verdict.valid && verdict.facts.mimeType, uniqueMediaTypes[kind].mimeType)
      }
    }
    assert.equal(seen.size, 12)
  })
})

describe('a verdict', () => {
  test('without a declared kind follows the contents', () => {
    const kindOf = (facts: Partial<RawProbe>) => {
      const verdict = judge(found(facts), null)
      return verdict.valid && verdict.facts.kind
    }
    assert.equal(kindOf({}), 'video')
    assert.equal(kindOf({ streams: [sound] }), 'audio')
    assert.equal(kindOf({ streams: [sound, cover] }), 'audio')
    assert.equal(kindOf({ demuxer: 'png_pipe', streams: [picture] }), 'image')
  })

  for (const [what, facts, declared, reason] of [
    [
      'names what is declared and what is there',
      { streams: [sound] },
      'video',
      'declared as video, but the file is audio (mp4)',
    ],
    [
      'does not take a video for audio because it has sound',
      {},
      'audio',
      'declared as audio, but the file is video (mp4)',
    ],
    [
      'does not take cover art for a video',
      { demuxer: 'mp3', streams: [sound, cover] },
      'video',
      'declared as video, but the file is audio (mp3)',
    ],
    [
      'does not take cover art for an image',
      { demuxer: 'mp3', streams: [sound, cover] },
      'image',
      'declared as image, but the file is audio (mp3)',
    ],
    [
      'does not take a picture for a video',
      { demuxer: 'png_pipe', streams: [picture] },
      'video',
      'declared as video, but the file is image (png)',
    ],
    [
      'names a format that is not accepted',
      { demuxer: 'hls' },
      null,
      'hls is not an accepted format',
    ],
    ['misses streams', { streams: [] }, null, 'the mp4 file holds no video or audio stream'],
    [
      'misses sound behind cover art',
      { demuxer: 'mp3', streams: [cover] },
      'audio',
      'the mp3 file holds no audio stream',
    ],
    ['misses contents', { packets: 0 }, 'video', 'the mp4 file has a header and no contents'],
    [
      'sees a video of no length',
      { durationSeconds: 0 },
      'video',
      'the video lasts 0 seconds (mp4)',
    ],
    ['sees a negative length', { durationSeconds: -3 }, 'video', 'the video lasts 0 seconds (mp4)'],
    [
      'sees a sound of no length',
      { durationSeconds: 0, streams: [sound] },
      'audio',
      'the audio lasts 0 seconds (mp4)',
    ],
    [
      'sees a stream of no length where the container tells none',
      { durationSeconds: null, streams: [{ ...picture, durationSeconds: 0 }] },
      'video',
      'the video lasts 0 seconds (mp4)',
    ],
    [
      'sees an absurd length',
      { durationSeconds: 1e12 },
      'video',
      'the video claims to last for years (mp4)',
    ],
    [
      'sees an unknown codec',
      { streams: [{ ...picture, codec: null }] },
      'video',
      'the video stream has no known codec (mp4)',
    ],
    [
      'sees sound without channels',
      { streams: [{ ...sound, channels: 0 }] },
      'audio',
      'the audio stream has no channels (mp4)',
    ],
    [
      'sees sound without a sample rate',
      { streams: [{ ...sound, sampleRate: null }] },
      'audio',
      'the audio stream has no sample rate (mp4)',
    ],
    [
      'sees a video without dimensions',
      { streams: [{ ...picture, width: 0 }] },
      'video',
      'the video has no dimensions (mp4)',
    ],
    [
      'sees an image without dimensions',
      { demuxer: 'png_pipe', streams: [{ ...picture, height: null }] },
      'image',
      'the image has no dimensions (png)',
    ],
    [
      'sees an image that is too wide',
      { demuxer: 'png_pipe', streams: [{ ...picture, width: 65_536 }] },
      'image',
      'the image claims 65536 × 48 pixels (png)',
    ],
    [
      'sees too many streams',
      { streams: Array.from({ length: 257 }, () => sound) },
      'audio',
      'it has 257 streams, more than 256',
    ],
  ] as const) {
    test(`${what}: ${reason}`, () => {
      assert.equal(reasonOf(facts as Partial<RawProbe>, declared), reason)
    })
  }

  test('lets a GIF be an image or a video, but not audio', () => {
    const gif = found({ demuxer: 'gif', durationSeconds: 0.1, streams: [picture] })
    for (const kind of ['image', 'video'] as const) {
      const verdict = judge(gif, kind)
      assert.ok(verdict.valid)
      assert.deepEqual([verdict.facts.kind, verdict.facts.mimeType], [kind, 'image/gif'])
    }
    assert.equal(judge(gif, 'audio').valid, false)
  })

  test('accepts a live recording, whose header tells no duration', () => {
    assert.equal(reasonOf({ durationSeconds: null }, 'video'), null)
  })

  test('accepts an image of 65,535 pixels', () => {
    const streams = [{ ...picture, width: 65_535, height: 65_535 }]
    assert.equal(reasonOf({ demuxer: 'jpeg_pipe', streams }, 'image'), null)
  })

  test('needs one sane stream of the kind, wherever it stands', () => {
    assert.equal(reasonOf({ streams: [{ ...picture, codec: null }, picture] }, 'video'), null)
  })

  test('keeps facts without the frame rate that ffprobe invents for images', () => {
    const streams = [{ ...picture, codec: 'png', frameRate: 25 }]
    assert.deepEqual(
      judge(found({ demuxer: 'png_pipe', durationSeconds: 0.04, streams }), 'image'),
      {
        valid: true,
        facts: {
          container: 'png',
          mimeType: 'image/png',
          kind: 'image',
          durationSeconds: null,
          streams: [
            {
              type: 'video',
              codec: 'png',
              width: 64,
              height: 48,
              frameRate: null,
              channels: null,
              sampleRate: null,
              attachedPicture: false,
            },
          ],
        },
      },
    )
  })
})

describe('the step', () => {
  const unused: Probe = {
    probe: () => assert.fail('nothing to probe'),
    ready: () => assert.fail('nothing to ask'),
    version: () => assert.fail('nothing to ask'),
  }

  test('rejects an empty file without starting ffprobe', async () => {
    const file = { probe: unused, absolutePath: '/nonexistent', kind: null, sizeBytes: 0 }
    assert.deepEqual(await validate(file), { valid: false, reason: 'the file is empty' })
  })

  test('does not ask ffprobe about pictures that it cannot read', async () => {
    for (const name of ['avif', 'webp-animated'] as const) {
      const absolutePath = await mediaFile(name)
      const verdict = await validate({ probe: unused, absolutePath, kind: 'image', sizeBytes: 1 })
      assert.ok(verdict.valid)
      assert.deepEqual(verdict.facts, {
        container: expected[name][1],
        mimeType: expected[name][2],
        kind: 'image',
        durationSeconds: null,
        streams: [
          {
            type: 'video',
            codec: name === 'avif' ? 'av1' : 'webp',
            width: 64,
            height: 48,
            frameRate: null,
            channels: null,
            sampleRate: null,
            attachedPicture: false,
          },
        ],
      })
    }
  })

  test('gives no verdict when ffprobe gives none', async () => {
    const absolutePath = await mediaFile('png')
    for (const code of ['PROBE_MISSING', 'PROBE_FAILED', 'CANCELLED'] as const) {
      const failing = { ...unused, probe: () => Promise.reject(new AppError(code, 'no answer')) }
      const file = { probe: failing, absolutePath, kind: null, sizeBytes: 1 }
      await assert.rejects(validate(file), hasCode(code))
    }
  })
})
