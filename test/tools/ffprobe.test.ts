import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createProbe, type Probe } from '../../src/tools/ffprobe.ts'
import { mediaBytes, mediaFile } from '../support/media-files.ts'
import { livingProcesses, processesEnd, script } from '../support/processes.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'

const real = createProbe({ path: 'ffprobe' })

/** A program that says that it is ffprobe and then does something else with a file. */
async function withFake(
  t: Scope,
  body: string,
  timeoutMs = 60_000,
): Promise<{ probe: Probe; folder: string }> {
  const folder = await withFolder(t)
  const version = `case "$*" in *-version*) echo 'ffprobe version 9.9 Copyright'; exit 0;; esac`
  const path = await script(folder, 'ffprobe', `${version}\n${body}`)
  return { probe: createProbe({ path, timeoutMs }), folder }
}

describe('ffprobe', () => {
  test('tells its version and how long it takes to start', async () => {
    const { version, startMs } = await real.version()
    assert.match(version, /^[\w.]+/)
    assert.ok(startMs > 0)
  })

  test('tells container, duration and streams of a real file', async () => {
    assert.deepEqual(await real.probe(await mediaFile('mp4')), {
      demuxer: 'mov,mp4,m4a,3gp,3g2,mj2',
      majorBrand: 'isom',
      compatibleBrands: ['isom', 'iso2', 'avc1', 'mp41'],
      durationSeconds: 1,
      packets: 8,
      streams: [
        {
          type: 'video',
          codec: 'h264',
          width: 64,
          height: 48,
          frameRate: 5,
          channels: null,
          sampleRate: null,
          attachedPicture: false,
          durationSeconds: 1,
        },
        {
          type: 'audio',
          codec: 'aac',
          width: null,
          height: null,
          frameRate: null,
          channels: 1,
          sampleRate: 16000,
          attachedPicture: false,
          durationSeconds: 0.5,
        },
      ],
    })
  })

  test('refuses a damaged file in its own words, without naming the path', async (t) => {
    const path = join(await withFolder(t), 'item.part')
    const whole = mediaBytes('mp4')
    await writeFile(path, whole.subarray(0, whole.length / 2))
    assert.deepEqual(await real.probe(path), { refused: 'moov atom not found' })
    await writeFile(path, 'no medium at all')
    assert.deepEqual(await real.probe(path), {
      refused: 'Invalid data found when processing input',
    })
  })

  test('blames the file, not the disk, when Matroska reports an input error for damaged bytes', async (t) => {
    const path = join(await withFolder(t), 'item.part')
    await writeFile(path, mediaBytes('webm').subarray(0, 400))
    const found = await real.probe(path)
    assert.match('refused' in found ? found.refused : '', /^File ended prematurely/)
  })

  test('says what a file looks like when that is not accepted', async (t) => {
    const path = join(await withFolder(t), 'item.part')
    await writeFile(path, ';FFMETADATA1\ntitle=x\n')
    assert.deepEqual(await real.probe(path), {
      refused: 'it looks like ffmetadata, which is not an accepted format',
    })
  })

  test('stops when it is cancelled, before and while it runs', async (t) => {
    const { probe, folder } = await withFake(t, 'exec sleep 1000')
    const file = await mediaFile('png')
    await assert.rejects(probe.probe(file, AbortSignal.abort()), hasCode('CANCELLED'))
    const abort = new AbortController()
    const running = probe.probe(file, abort.signal)
    setImmediate(() => abort.abort())
    await assert.rejects(running, hasCode('CANCELLED'))
    assert.deepEqual(livingProcesses(folder), [])
  })
})

describe('memory', () => {
  test('is bounded, whatever a file claims: by 1.5 GiB for a small one', async (t) => {
    const { probe, folder } = await withFake(t, `ulimit -d > "\${0%/*}/bound"; echo '{}'`)
    const file = join(folder, 'item.part')
    await writeFile(file, Buffer.alloc(1024))
    await assert.rejects(probe.probe(file), hasCode('PROBE_FAILED'))
    assert.equal(readFileSync(join(folder, 'bound'), 'utf8'), `${1536 * 1024 + 16}\n`)
  })

  test('that a file asks for beyond that is a verdict about it: nobody else is asked, and no attempt is burnt', async (t) => {
    const answer = '{"error":{"code":-12,"string":"Cannot allocate memory"}}'
    const { probe } = await withFake(t, `echo '${answer}'; exit 1`)
    assert.deepEqual(await probe.probe(await mediaFile('png')), {
      refused: 'it takes more memory than any real file',
    })
  })
})

describe('no verdict about the file', () => {
  test('is an outage when ffprobe is absent, and the remedy is named', async () => {
    const probe = createProbe({ path: '/nonexistent/ffprobe' })
    const wanted = hasCode('PROBE_MISSING', /^FFPROBE_PATH: \/nonexistent\/ffprobe does not exist$/)
    await assert.rejects(probe.probe(await mediaFile('png')), wanted)
    await assert.rejects(probe.version(), (error: { hint: string }) =>
      /apt install ffmpeg/.test(error.hint),
    )
  })

  test('is an outage when no ffprobe is on the search path', async (t) => {
    const searchPath = await withFolder(t)
    const probe = createProbe({ path: 'ffprobe', searchPath })
    await assert.rejects(probe.version(), hasCode('PROBE_MISSING', /does not exist/))
    await script(searchPath, 'ffprobe', 'echo ffprobe version 1')
    assert.equal((await probe.version()).version, '1')
  })

  test('is told at once when it is not there, or is no program', async (t) => {
    const searchPath = await withFolder(t)
    await mkdir(join(searchPath, 'folder'))
    await writeFile(join(searchPath, 'plain'), 'text')
    await script(searchPath, 'ffprobe', 'exit 1')
    const find = (path: string, where = searchPath) =>
      createProbe({ path, searchPath: where }).find()
    await assert.rejects(find('other'), hasCode('PROBE_MISSING', /does not exist/))
    await assert.rejects(find('ffprobe', ''), hasCode('PROBE_MISSING', /does not exist/))
    await assert.rejects(find('plain'), hasCode('PROBE_MISSING', /is not executable/))
    await assert.rejects(find('folder'), hasCode('PROBE_MISSING', /is not executable/))
    await assert.rejects(find('plain/x'), hasCode('PROBE_MISSING', /does not exist/))
    await find('ffprobe')
    await find('ffprobe', `/nonexistent:${searchPath}/plain:${searchPath}`)
    await find(join(searchPath, 'ffprobe'), '')
  })

  test('is an outage when it is not executable, or another program', async (t) => {
    const plain = join(await withFolder(t), 'plain')
    await writeFile(plain, 'text')
    const file = await mediaFile('png')
    for (const [path, sentence] of [
      [plain, /is not executable/],
      ['/bin/true', /does not answer like ffprobe/],
      ['/bin/false', /does not answer like ffprobe/],
      ['/bin/cat', /does not answer like ffprobe/],
    ] as const) {
      await assert.rejects(createProbe({ path }).probe(file), hasCode('PROBE_MISSING', sentence))
    }
  })

  for (const [what, body, sentence] of [
    ['floods its output', 'exec yes {', /far more/],
    ['prints what is not JSON', 'echo "<html>"', /without an answer \(exit code 0\)/],
    ['prints nothing', ':', /without an answer/],
    ['prints half an answer', 'echo \'{"format":{"format_name":"png_pipe"\'', /without an answer/],
    ['prints another JSON', 'echo \'[1,{"a":null}]\'', /without an answer/],
    ['crashes', 'kill -SEGV $$', /without an answer \(SIGSEGV\)/],
    ['fails silently', 'exit 1', /without an answer \(exit code 1\)/],
    [
      'fails after a full answer',
      'echo \'{"format":{"format_name":"png_pipe"},"streams":[]}\'; exit 1',
      /exit code 1/,
    ],
    [
      'may not read the file',
      'echo \'{"error":{"code":-13,"string":"Permission denied"}}\'; exit 1',
      /could not read the file: Permission denied/,
    ],
  ] as const) {
    test(`burns an attempt of this item when ffprobe ${what}`, async (t) => {
      const { probe, folder } = await withFake(t, body)
      await assert.rejects(probe.probe(await mediaFile('png')), hasCode('PROBE_FAILED', sentence))
      await processesEnd(folder)
    })
  }

  test('burns an attempt of this item when ffprobe hangs; it is killed', async (t) => {
    const { probe, folder } = await withFake(t, `trap '' TERM; while :; do sleep 1000; done`, 300)
    await assert.rejects(probe.probe(await mediaFile('png')), hasCode('PROBE_FAILED', /time limit/))
    await processesEnd(folder)
  })

  test('burns an attempt when the file has vanished or is not a regular file', async (t) => {
    const folder = await withFolder(t)
    const fifo = join(folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    await assert.rejects(real.probe(join(folder, 'gone')), hasCode('PROBE_FAILED', /ENOENT/))
    await assert.rejects(real.probe(folder), hasCode('PROBE_FAILED', /regular file/))
    await assert.rejects(real.probe(fifo), hasCode('PROBE_FAILED', /regular file/))
  })
})

test('no more probes run at once than agreed', async (t) => {
  const answer = '{"format":{"format_name":"png_pipe"},"streams":[]}'
  const folder = await withFolder(t)
  const log = join(folder, 'log')
  // The first one waits for a second one, so that two do run at once.
  const meet = `while [ "$(grep -c begin ${log})" -lt 2 ]; do :; done`
  const body = `echo begin >> ${log}; ${meet}; echo end >> ${log}; echo '${answer}'`
  const path = await script(folder, 'ffprobe', body)
  const probe = createProbe({ path, concurrency: 2 })
  const file = await mediaFile('png')
  await Promise.all(Array.from({ length: 7 }, () => probe.probe(file)))
  let running = 0
  const depths = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (running += line === 'begin' ? 1 : -1))
  assert.equal(depths.length, 14)
  assert.equal(Math.max(...depths), 2)
})
