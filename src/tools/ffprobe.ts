import { constants } from 'node:fs'
import { access, open, readFile, stat } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { acceptedDemuxers } from '../formats.ts'
import { createSlots } from '../slots.ts'
import { clean, FIRST_PACKETS, type RawProbe, readAnswer } from './ffprobe-answer.ts'
import { runTool, type ToolOutcome } from './spawn.ts'
import type { Spawner } from './spawner.ts'

export type { RawProbe, RawStream } from './ffprobe-answer.ts'

export interface Probe {
  /**
   * @param absolutePath with a neutral name: some demuxers judge a file by its extension
   * @param demuxer absent: ffprobe chooses among those of the accepted formats
   * @returns the reason, in a few words, when ffprobe refuses the file; that says something about the file alone
   * @throws PROBE_MISSING (ffprobe cannot be run here), PROBE_FAILED (no verdict about this file), CANCELLED
   */
  probe(
    absolutePath: string,
    signal?: AbortSignal,
    demuxer?: string,
  ): Promise<RawProbe | { refused: string }>
  /**
   * Whether files can be judged here, as far as that is told in the time that a start has.
   *
   * @throws PROBE_MISSING
   */
  ready(): Promise<void>
  /** @throws PROBE_MISSING, CANCELLED */
  version(signal?: AbortSignal): Promise<{ version: string; startMs: number }>
}

export interface ProgramProbe extends Probe {
  /** Only that there is a program: what it answers shows when it is asked. @throws PROBE_MISSING */
  find(): Promise<void>
}

export interface ProbeOptions {
  /** A path, or a name that is looked up in `searchPath`. */
  path: string
  /** The setting that names it, for messages. */
  setting?: string
  /** Half the time for a video, whose headers tell what is judged; what only a decoded picture tells stays unmeasured. */
  decodesNothing?: boolean
  timeoutMs?: number
  /** How many may run at once: more than the machine has cores brings nothing. */
  concurrency?: number
  searchPath?: string
  /** Runs it, in whatever process. */
  run?: Spawner['run']
}

export const DEFAULT_SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin'
const MAX_OUTPUT_BYTES = 1_048_576
const VERSION_TIMEOUT_MS = 20_000
const MIB = 1024 * 1024

/** Only what is judged or kept: tags and side data of a hostile file never fill the output. */
const FIELDS = [
  'format=format_name,duration',
  'format_tags=major_brand,compatible_brands',
  'stream=codec_type,codec_name,width,height,avg_frame_rate,duration,channels,sample_rate,nb_read_packets',
  'stream_disposition=attached_pic',
  'error=code,string',
].join(':')

const PROBE_ARGS = [
  ...['-v', 'error', '-hide_banner'],
  ...['-protocol_whitelist', 'file', '-format_whitelist', acceptedDemuxers.join(',')],
  ...['-print_format', 'json=compact=1', '-show_error', '-show_entries', FIELDS],
  ...['-count_packets', '-read_intervals', `%+#${FIRST_PACKETS}`],
]

/** ffprobe as a judge of files. It reads a file's header in a process of its own that is stopped when it takes too long. */
export function createProbe(options: ProbeOptions): ProgramProbe {
  const {
    path,
    setting = 'FFPROBE_PATH',
    decodesNothing = false,
    timeoutMs = 60_000,
    searchPath = DEFAULT_SEARCH_PATH,
    run = runTool,
  } = options
  const slots = createSlots(options.concurrency ?? 2)
  const env = { PATH: searchPath, LC_ALL: 'C', AV_LOG_FORCE_NOCOLOR: '1' }
  const common = { command: path, env, maxOutputBytes: MAX_OUTPUT_BYTES }
  const asksVersion = { ...common, args: ['-version'], timeoutMs: VERSION_TIMEOUT_MS }
  const probeArgs = decodesNothing ? [...PROBE_ARGS, '-skip_frame', 'all'] : PROBE_ARGS

  async function version(signal?: AbortSignal): Promise<{ version: string; startMs: number }> {
    const from = performance.now()
    const ran = await runTool(signal ? { ...asksVersion, signal } : asksVersion)
    return { version: versionIn(ran), startMs: performance.now() - from }
  }

  function versionIn(ran: ToolOutcome): string {
    const found = ran.kind === 'exited' && /^ffprobe version (\S{1,100})/.exec(ran.stdout)?.[1]
    if (!found) throw missing(setting, path, ran)
    return found
  }

  async function ready(): Promise<void> {
    versionIn(await run(asksVersion))
  }

  async function find(): Promise<void> {
    const problem = await whyNotProgram(path, searchPath)
    if (problem !== null) throw missing(setting, path, { kind: 'not-started', systemCode: problem })
  }

  async function probe(
    file: string,
    signal?: AbortSignal,
    demuxer?: string,
  ): Promise<RawProbe | { refused: string }> {
    const giveBack = await slots.take(signal)
    try {
      const { blockBytes, memoryBytes } = allowanceFor(await sizeOf(file))
      const format = demuxer === undefined ? [] : ['-f', demuxer]
      const args = [...probeArgs, ...format, '-max_alloc', `${blockBytes}`, `file:${file}`]
      const tool = { ...common, args, timeoutMs, memoryBytes }
      const ran = await run(signal ? { ...tool, signal } : tool)
      const answer = await understand(ran, { file, memoryBytes, signal })
      if (!(answer instanceof AppError)) return answer
      // Without an answer from ffprobe itself: is it this file, or does ffprobe not work at all?
      if (ran.kind !== 'timeout') await version(signal)
      throw answer
    } finally {
      giveBack()
    }
  }

  return { probe, ready, version, find }
}

/**
 * What ffprobe may take: the largest block, and all together. A PNG of 177 bytes that claims 16,000 × 16,000 pixels takes a block
 * of 2 GiB, and an MP4 of 71 KB that claims millions of samples in each of its tracks 3 GiB in many. Honest pictures and films
 * need little more than their own size; the most is asked for by libjxl, 16 bytes for each pixel of a lossless picture.
 */
function allowanceFor(sizeBytes: number): { blockBytes: number; memoryBytes: number } {
  return {
    blockBytes: Math.min(256 * MIB + sizeBytes, 1024 * MIB),
    memoryBytes: Math.min(1536 * MIB + 16 * sizeBytes, 4096 * MIB),
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    const facts = await stat(file)
    if (facts.isFile()) return facts.size
  } catch (error) {
    throw failed(`was given a file that cannot be opened (${systemCode(error)})`, error)
  }
  throw failed('was given something that is not a regular file')
}

interface Asked {
  file: string
  memoryBytes: number
  signal: AbortSignal | undefined
}

/** @returns an error when the outcome is no verdict about the file */
async function understand(
  ran: ToolOutcome,
  { file, memoryBytes, signal }: Asked,
): Promise<RawProbe | { refused: string } | AppError> {
  if (ran.kind === 'timeout') return failed('did not answer within the time limit and was stopped')
  if (ran.kind === 'overflow') return failed('printed far more than it was asked for')
  if (ran.kind === 'not-started') return failed(`could not be started (${ran.systemCode})`)
  const answer = readAnswer(ran.stdout)
  if (answer && 'code' in answer) {
    if (await isVerdict(answer.code, file, signal)) {
      return { refused: reasonIn(ran.stderr.replaceAll(file, 'the file'), answer.text) }
    }
    if (answer.code === ENOMEM && (await isPlenty(memoryBytes))) {
      return { refused: 'it takes more memory than any real file' }
    }
    return failed(`could not read the file: ${answer.text}`)
  }
  if (answer && ran.exitCode === 0) return isCutOff(ran.stderr) ? cutOff : answer
  return failed(`ended without an answer (${ran.signal ?? `exit code ${ran.exitCode}`})`)
}

/** FFmpeg's error codes (libavutil/error.h) that speak of the contents, never of the machine. */
const CONTENT_CODES = new Set([
  -1_094_995_529, // AVERROR_INVALIDDATA
  -541_478_725, // AVERROR_EOF
  -1_163_346_256, // AVERROR_PATCHWELCOME
  -1_128_613_112, // AVERROR_DECODER_NOT_FOUND
  -1_381_258_232, // AVERROR_STREAM_NOT_FOUND
  -22, // EINVAL, above all "Format not on whitelist"
  -34, // ERANGE
  -38, // ENOSYS
])
const EIO = -5
const ENOMEM = -12

/** The Matroska demuxer answers EIO for a damaged file too: the disk is to blame only if we cannot read it either. */
async function isVerdict(code: number, file: string, signal?: AbortSignal): Promise<boolean> {
  return CONTENT_CODES.has(code) || (code === EIO && (await isReadable(file, signal)))
}

/** Whether only our own bound can have refused memory: the machine has more, and promises it to everybody. */
async function isPlenty(bytes: number): Promise<boolean> {
  try {
    const overcommit = await readFile('/proc/sys/vm/overcommit_memory', 'latin1')
    return freemem() > bytes && overcommit.trim() !== '2'
  } catch {
    // Not Linux: in doubt it was the machine.
    return false
  }
}

const cutOff = { refused: 'Unexpected end of JXL codestream' }

/** A bare JPEG XL says nowhere how long it is; but its decoder, which ffprobe asks for the dimensions, misses the rest. */
function isCutOff(stderr: string): boolean {
  return /^\[libjxl @ 0x[0-9a-f]+\] Unexpected end of JXL codestream$/m.test(stderr)
}

async function isReadable(file: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await using handle = await open(file)
    const buffer = Buffer.allocUnsafe(MIB)
    while ((await handle.read(buffer)).bytesRead > 0) if (signal?.aborted) return false
    return true
  } catch {
    // Whatever the cause: bytes that cannot be read cannot be judged.
    return false
  }
}

/** The first thing a demuxer complained about; else what ffprobe says of the whole. */
function reasonIn(stderr: string, fallback: string): string {
  const complaint = /^\[([\w, ]+) @ 0x[0-9a-f]+\] (.+)$/m.exec(stderr)
  const [, who = '', what = ''] = complaint ?? []
  if (what.startsWith('Format not on whitelist')) {
    return `it looks like ${clean(who)}, which is not an accepted format`
  }
  return clean(what) || clean(fallback) || 'ffprobe refuses it'
}

function failed(what: string, cause?: unknown): AppError {
  return new AppError('PROBE_FAILED', `ffprobe ${what}`, { cause })
}

function missing(setting: string, path: string, ran: ToolOutcome): AppError {
  const why = {
    exited: 'does not answer like ffprobe',
    timeout: 'does not answer',
    overflow: 'does not answer like ffprobe',
    'not-started': ran.kind === 'not-started' ? startProblem(ran.systemCode) : '',
  }[ran.kind]
  return new AppError('PROBE_MISSING', `${setting}: ${path} ${why}`, {
    hint:
      setting === 'FFPROBE_PATH'
        ? 'Install ffprobe (on Debian and Ubuntu: apt install ffmpeg), or name it in FFPROBE_PATH.'
        : `name a program that "make ffprobe" has built, or leave ${setting} out`,
  })
}

/** @returns the code with which starting it would fail; null when there is a program */
async function whyNotProgram(path: string, searchPath: string): Promise<string | null> {
  const places = path.includes('/') ? [path] : searchPath.split(':').map((dir) => join(dir, path))
  let problem = 'ENOENT'
  for (const place of places)
    try {
      await access(place, constants.X_OK)
      if ((await stat(place)).isFile()) return null
      problem = 'EACCES'
    } catch (error) {
      const code = systemCode(error) ?? 'EIO'
      if (code !== 'ENOENT' && code !== 'ENOTDIR') problem = code
    }
  return problem
}

function startProblem(code: string): string {
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES') return 'is not executable'
  return `cannot be started (${code})`
}
