import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { crc32, deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type MediaKind, mediaKinds } from '../../src/media.ts'
import { type Verdict, validate } from '../../src/sync/validate.ts'
import { createProbe } from '../../src/tools/ffprobe.ts'
import { type MediaFileName, mediaBytes } from '../support/media-files.ts'
import { probe } from '../support/probe.ts'
import { script } from '../support/processes.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

async function verdictOf(
  t: Scope,
  contents: string | Uint8Array,
  { name = 'item.part', kind = null }: { name?: string; kind?: MediaKind | null } = {},
): Promise<Verdict> {
  const absolutePath = join(await withFolder(t), name)
  await writeFile(absolutePath, contents)
  const { size } = await stat(absolutePath)
  const verdict = await validate({ probe, absolutePath, kind, sizeBytes: size })
  if (!verdict.valid) {
    assert.match(verdict.reason, /^[^\p{Cc}\p{Cf}]{1,250}$/u)
    assert.ok(!verdict.reason.includes(absolutePath), 'a reason never tells where our files are')
  }
  return verdict
}

function playlist(target: string): string {
  const head = '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n'
  return `${head}#EXTINF:10,\n${target}\n#EXT-X-ENDLIST\n`
}

describe('a file that names other files or servers', () => {
  let listener: Server
  let connections = 0
  let url = ''
  before(async () => {
    listener = createServer((socket) => {
      connections += 1
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/a.ts`
  })
  after(() => new Promise((resolve) => listener.close(resolve)))

  test('would be followed by an ffprobe without our limits (so that this trap is a real one)', async (t) => {
    const path = join(await withFolder(t), 'item.m3u8')
    await writeFile(path, playlist(url))
    const limits = ['-protocol_whitelist', 'file,http,tcp', '-allowed_extensions', 'ALL']
    await assert.rejects(promisify(execFile)('ffprobe', ['-v', 'quiet', ...limits, path]))
    assert.ok(connections > 0)
    connections = 0
  })

  const media: Record<string, (target: string) => string> = {
    'an HLS playlist': playlist,
    'an HLS key': (target) =>
      playlist('a.ts').replace('#EXTINF', `#EXT-X-KEY:METHOD=AES-128,URI="${target}"\n#EXTINF`),
    'an HLS map': (target) =>
      playlist('a.ts').replace('#EXTINF', `#EXT-X-MAP:URI="${target}"\n#EXTINF`),
    'a master playlist': (target) => `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${target}\n`,
    'a concat script': (target) => `ffconcat version 1.0\nfile '${target}'\n`,
    'a DASH manifest': (target) =>
      `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet><Representation id="1" bandwidth="1"><BaseURL>${target}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
    'an SVG': (target) =>
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image width="9" height="9" xlink:href="${target}"/></svg>`,
    'an SDP': (target) =>
      `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=${target}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n`,
    'an XSPF playlist': (target) =>
      `<playlist version="1"><trackList><track><location>${target}</location></track></trackList></playlist>`,
    'an image sequence description': (target) => `${target}/%d.jpg`,
  }
  for (const [what, contents] of Object.entries(media)) {
    test(`is not followed and not accepted: ${what}`, async (t) => {
      const fifo = join(await withFolder(t), 'fifo')
      // Whoever opens it waits for a writer who never comes: the probe would not return.
      execFileSync('mkfifo', [fifo])
      const targets = [url, 'file:///etc/passwd', fifo, `file://${fifo}`]
      const verdicts = await Promise.all(targets.map((target) => verdictOf(t, contents(target))))
      for (const verdict of verdicts) assert.equal(verdict.valid, false)
      assert.equal(connections, 0)
    })
  }

  test('is not followed: an MP4 whose samples lie in another file', async (t) => {
    const fifo = join(await withFolder(t), 'fifo')
    execFileSync('mkfifo', [fifo])
    for (const target of [fifo, '/etc/passwd', url]) {
      assert.deepEqual(await verdictOf(t, withExternalSamples(mediaBytes('mov'), target)), {
        valid: false,
        reason: 'the quicktime file has a header and no contents',
      })
    }
    assert.equal(connections, 0)
  })
})

describe('a file that is no medium is rejected whatever it is declared as', () => {
  const zip = Buffer.from('504b0304140000000000000000000000000000000000000000000100000061', 'hex')
  const others: Record<string, string | Uint8Array> = {
    'an empty file': '',
    'one byte': 'a',
    'zero bytes': Buffer.alloc(4096),
    'a text': 'All happy families are alike. '.repeat(100),
    HTML: '<!doctype html><html><body>hi</body></html>',
    'FFmpeg metadata': ';FFMETADATA1\ntitle=x\n',
    'SubRip subtitles':
      '1\n00:00:01,000 --> 00:00:02,000\nhi\n\n2\n00:00:02,000 --> 00:00:03,000\nho\n',
    'WebVTT subtitles': 'WEBVTT\n\n00:00.000 --> 00:01.000\nhi\n',
    'SSA subtitles': '[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Start, End, Text\n',
    'a zip': zip,
    'a gzip': gzipSync('text'),
    'a PDF': '%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n',
    'a program': Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), Buffer.alloc(4096)]),
    'a raw H.264 stream': Buffer.from('000000016742c00a', 'hex'),
  }
  for (const [what, contents] of Object.entries(others)) {
    test(what, async (t) => {
      const verdicts = mediaKinds.map((kind) => verdictOf(t, contents, { kind }))
      for (const verdict of await Promise.all(verdicts)) assert.equal(verdict.valid, false)
    })
  }

  for (const name of ['x.jpg', '%03d.png']) {
    test(`HTML that is called ${name}, although ffprobe goes by such a name`, async (t) => {
      const verdict = await verdictOf(t, '<html></html>', { name, kind: 'image' })
      assert.equal(verdict.valid, false)
    })
  }
})

describe('a file name cannot change the verdict', () => {
  for (const name of [
    ...['-i', '-version', '%d', 'a\nb', 'http:', 'concat:a|b', 'file:', 'pipe:0'],
    ...['a b', "it's", '"', '*', '$(id)', '\u202egnp.exe', 'ünï 😀', 'x.m3u8', 'x.txt', 'x.srt'],
    ...['data:text', 'subfile,,start,0,end,9,,:x', 'x.mkv', '[mov @ 0x1] x'],
  ]) {
    test(`not even ${JSON.stringify(name)}`, async (t) => {
      const verdicts = [verdictOf(t, mediaBytes('png'), { name }), verdictOf(t, 'none', { name })]
      const [medium, other] = await Promise.all(verdicts)
      assert.equal(medium?.valid, true)
      assert.equal(other?.valid, false)
    })
  }
})

describe('a good file that begins with a large tag is what comes behind it', () => {
  const jpeg = mediaBytes('jpeg')
  const segmentOf = (body: Buffer) => {
    const head = Buffer.from([0xff, 0xe1, 0, 0])
    head.writeUInt16BE(body.length + 2, 2)
    return Buffer.concat([head, body])
  }
  const typeOf = (verdict: Verdict) => (verdict.valid ? verdict.facts.mimeType : verdict.reason)

  test('a photo with a thumbnail and 3.9 MB of metadata is a JPEG', async (t) => {
    const exif = segmentOf(Buffer.concat([Buffer.from('Exif\0\0'), jpeg, Buffer.alloc(40_000)]))
    const metadata = Array<Buffer>(60).fill(segmentOf(Buffer.alloc(65_000, 'x')))
    const photo = [jpeg.subarray(0, 2), exif, ...metadata, jpeg.subarray(2)]
    assert.equal(typeOf(await verdictOf(t, Buffer.concat(photo))), 'image/jpeg')
  })

  for (const [name, mimeType] of [
    ['mp3', 'audio/mpeg'],
    ['aac', 'audio/aac'],
    ['flac', 'audio/flac'],
  ] as const)
    test(`${name} with a cover of 1.2 MB in an ID3 tag is ${mimeType}`, async (t) => {
      const cover = [
        Buffer.from('\0image/jpeg\0\x03\0', 'latin1'),
        jpeg,
        Buffer.alloc(1_200_000, 1),
      ]
      const frame = Buffer.concat([Buffer.from('APIC\0\0\0\0\0\0'), ...cover])
      frame.writeUInt32BE(frame.length - 10, 4)
      const size = [21, 14, 7, 0].map((bits) => (frame.length >> bits) & 127)
      const header = Buffer.concat([Buffer.from('ID3\x03\0\0'), Buffer.from(size)])
      const verdict = await verdictOf(t, Buffer.concat([header, frame, mediaBytes(name)]))
      assert.equal(typeOf(verdict), mimeType)
    })
})

describe('a damaged file', () => {
  for (const name of [
    'mp4',
    'mp4-faststart',
    'webm',
    'ogg',
    'mp3',
    'flac',
    'png',
    'jpeg',
    'gif',
  ] as const) {
    test(`gets a verdict wherever a ${name} is cut off`, async (t) => {
      const whole = mediaBytes(name)
      for (const share of [0.01, 0.1, 0.4, 0.9]) {
        const verdict = await verdictOf(t, whole.subarray(0, Math.ceil(whole.length * share)))
        if (share === 0.01) assert.equal(verdict.valid, false)
      }
    })
  }

  test('is rejected when it is an MP4 without its end, where the header lies', async (t) => {
    const whole = mediaBytes('mp4')
    for (const bytes of [8, 40, 300, whole.length >> 1]) {
      const verdict = await verdictOf(t, whole.subarray(0, bytes))
      assert.match(verdict.valid ? '' : verdict.reason, /^not readable as media: /)
    }
  })

  test('is rejected when it is a header with nothing behind it', async (t) => {
    const mp4 = mediaBytes('mp4-faststart')
    const webm = mediaBytes('webm-live')
    const cluster = webm.indexOf(Buffer.from('1f43b675', 'hex'))
    for (const header of [mp4.subarray(0, mp4.indexOf('mdat') + 4), webm.subarray(0, cluster)]) {
      const verdict = await verdictOf(t, header, { kind: 'video' })
      assert.match(
        verdict.valid ? '' : verdict.reason,
        /has a header and no contents$|^not readable as media/,
      )
    }
  })

  test('is rejected when it is the header of a sound and its cover, with no sound behind it', async (t) => {
    for (const name of ['flac', 'flac-cover'] as const) {
      const whole = mediaBytes(name)
      // The end of its last block of metadata, where the first frame begins.
      const sound = whole.indexOf(Buffer.from('fff8', 'hex'), whole.indexOf('Lavf'))
      assert.equal((await verdictOf(t, whole)).valid, true)
      assert.deepEqual(await verdictOf(t, whole.subarray(0, sound)), {
        valid: false,
        reason: 'the flac file has a header and no contents',
      })
    }
  })

  test('gets a verdict whichever bytes are changed', async (t) => {
    const names: MediaFileName[] = ['mp4', 'webm', 'ogg', 'png', 'gif', 'avi', 'tiff']
    const change = fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255))
    const damaged = fc.tuple(
      fc.constantFrom(...names),
      fc.array(change, { minLength: 1, maxLength: 40 }),
    )
    await fc.assert(
      fc.asyncProperty(damaged, async ([name, changes]) => {
        const bytes = mediaBytes(name)
        for (const [where, value] of changes) bytes[Math.floor(where * bytes.length)] = value
        await verdictOf(t, bytes)
      }),
      { numRuns: 40 },
    )
  })
})

describe('a picture that claims to be huge', () => {
  for (const [width, height, reason] of [
    [2 ** 31 - 1, 2 ** 31 - 1, 'the image has no dimensions (png)'],
    [65_535, 65_535, 'the image has no dimensions (png)'],
    [200_000, 2, 'the image claims 200000 × 2 pixels (png)'],
    [0, 16, 'the image has no dimensions (png)'],
  ] as const) {
    test(`is rejected at ${width} × ${height}`, async (t) => {
      const verdict = await verdictOf(t, pngOf(width, height))
      assert.deepEqual(verdict, { valid: false, reason })
    })
  }

  test('is measured without taking the 2 GiB of memory that it asks for', async (t) => {
    const bomb = pngOf(16_000, 16_000)
    assert.ok(bomb.length < 300)
    const folder = await withFolder(t)
    const path = join(folder, 'item.part')
    await writeFile(path, bomb)
    const complaints = join(folder, 'complaints')
    const noted = await script(folder, 'ffprobe', `exec ffprobe "$@" 2> ${complaints}`)
    const found = await createProbe({ path: noted }).probe(path)
    assert.equal('streams' in found && found.streams[0]?.width, 16_000)
    assert.match(await readFile(complaints, 'utf8'), /get_buffer\(\) failed/)
  })
})

function pngOf(width: number, height: number): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([16, 6], 8)
  const chunk = (type: string, contents: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), contents])
    const around = Buffer.alloc(8)
    around.writeUInt32BE(contents.length, 0)
    around.writeUInt32BE(crc32(body), 4)
    return Buffer.concat([around.subarray(0, 4), body, around.subarray(4)])
  }
  const start = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
  const rows = deflateSync(Buffer.alloc(100_000))
  return Buffer.concat([
    start,
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Replaces the entry of the data reference box by an alias to `target`; the boxes around it grow with it. */
function withExternalSamples(movie: Buffer, target: string): Buffer {
  const name = Buffer.from(target)
  const path = Buffer.alloc(4 + name.length + (name.length & 1))
  path.writeUInt16BE(2, 0)
  path.writeUInt16BE(name.length, 2)
  name.copy(path, 4)
  const alias = Buffer.concat([Buffer.alloc(162), path, Buffer.from([0xff, 0xff, 0, 0])])
  alias.writeUInt32BE(alias.length, 0)
  alias.write('alis', 4, 'latin1')
  const entry = movie.indexOf('dref') + 4 + 8
  const grown = Buffer.from(movie)
  const growth = alias.length - grown.readUInt32BE(entry)
  for (const box of ['moov', 'trak', 'mdia', 'minf', 'dinf', 'dref']) {
    // The last `minf` before the entry, the only one of each of the others.
    const at = grown.lastIndexOf(box, entry) - 4
    grown.writeUInt32BE(grown.readUInt32BE(at) + growth, at)
  }
  return Buffer.concat([
    grown.subarray(0, entry),
    alias,
    grown.subarray(entry + alias.length - growth),
  ])
}
