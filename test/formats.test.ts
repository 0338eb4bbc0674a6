import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { acceptedDemuxers, acceptedFormats, type FoundContainer, formatOf } from '../src/formats.ts'
import { mediaKinds } from '../src/media.ts'

const MOV = 'mov,mp4,m4a,3gp,3g2,mj2'

function found(facts: Partial<FoundContainer>): FoundContainer {
  return { demuxer: MOV, majorBrand: 'isom', compatibleBrands: [], codecs: ['h264'], ...facts }
}

describe('the table of accepted formats', () => {
  test('names only demuxers that ffprobe has', () => {
    const listing = execFileSync('ffprobe', ['-v', 'quiet', '-demuxers'], { encoding: 'utf8' })
    const known = new Set(listing.split('\n').map((line) => line.trim().split(/\s+/)[1]))
    for (const { demuxer } of acceptedFormats) assert.ok(known.has(demuxer), demuxer)
  })

  for (const demuxer of [
    ...['hls', 'dash', 'concat', 'imf', 'sdp', 'rtsp', 'rtp', 'sap', 'lavfi', 'webm_dash_manifest'],
    ...['image2', 'image2pipe', 'svg_pipe', 'ffmetadata', 'srt', 'ass', 'webvtt', 'tty', 'data'],
    ...['mpjpeg', 'rawvideo', 's16le', 'h264', 'libopenmpt', 'vobsub', 'v4l2', 'x11grab'],
  ]) {
    test(`does not let ${demuxer} in`, () => {
      assert.ok(!acceptedDemuxers.includes(demuxer))
      assert.equal(formatOf(found({ demuxer })), null)
    })
  }

  test('gives every format a kind, and every kind a MIME type that a browser can be sent', () => {
    for (const { name, mimeTypes } of acceptedFormats) {
      const kinds = mediaKinds.filter((kind) => mimeTypes[kind])
      assert.ok(kinds.length > 0, name)
      for (const kind of kinds)
        assert.match(mimeTypes[kind] ?? '', /^(video|image|audio)\/[\w.-]+$/)
    }
    assert.equal(new Set(acceptedFormats.map(({ name }) => name)).size, acceptedFormats.length)
  })
})

describe('a container is named', () => {
  for (const [majorBrand, name] of [
    ...([
      ['isom', 'mp4'],
      ['mp42', 'mp4'],
      ['iso5', 'mp4'],
      ['avc1', 'mp4'],
      ['f4v', 'mp4'],
    ] as const),
    ...([
      ['qt', 'quicktime'],
      ['qt  ', 'quicktime'],
      [null, 'quicktime'],
    ] as const),
    ...([
      ['M4A ', 'm4a'],
      ['M4B', 'm4a'],
      ['3gp4', '3gp'],
      ['3gr6', '3gp'],
      ['3g2a', '3g2'],
    ] as const),
    ...([
      ['avif', 'avif'],
      ['avis', 'avif'],
      ['heic', 'heic'],
      ['heix', 'heic'],
    ] as const),
  ] as const) {
    test(`${name} by the brand ${majorBrand}`, () => {
      assert.equal(formatOf(found({ majorBrand }))?.name, name)
    })
  }

  test('by the first decisive brand when the major one is the general one for images', () => {
    const named = (...compatibleBrands: string[]) =>
      formatOf(found({ majorBrand: 'mif1', compatibleBrands }))?.name
    assert.equal(named('mif1', 'miaf', 'avif'), 'avif')
    assert.equal(named('mif1', 'heic'), 'heic')
    assert.equal(named('mif1'), 'heif')
    assert.equal(formatOf(found({ majorBrand: 'mif2', compatibleBrands: ['heic'] }))?.name, 'heic')
  })

  test('webm only when every codec is one of webm', () => {
    const named = (...codecs: (string | null)[]) =>
      formatOf(found({ demuxer: 'matroska,webm', codecs }))?.name
    assert.equal(named('vp8', 'vorbis'), 'webm')
    assert.equal(named('vp9', 'opus'), 'webm')
    assert.equal(named('av1'), 'webm')
    assert.equal(named('h264', 'opus'), 'matroska')
    assert.equal(named('vp9', 'ass'), 'matroska')
    assert.equal(named('vp9', null), 'matroska')
  })

  test('nothing when only a part of the demuxer name agrees', () => {
    for (const demuxer of ['', 'mov', 'webm', 'mp4', 'png', 'image2']) {
      assert.equal(formatOf(found({ demuxer })), null)
    }
  })
})
