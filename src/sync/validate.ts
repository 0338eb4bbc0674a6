import { inspect, type Picture } from '../formats/inspect.ts'
import { type AcceptedFormat, formatOf } from '../formats.ts'
import type { MediaKind, ProbedStream, ProbeFacts } from '../media.ts'
import type { Probe, RawProbe, RawStream } from '../tools/ffprobe.ts'

export type Verdict = { valid: true; facts: ProbeFacts } | { valid: false; reason: string }

export interface FileToValidate {
  /** Its name must be neutral: ffprobe may go by an extension. */
  absolutePath: string
  /** The declared kind; null lets the contents decide. */
  kind: MediaKind | null
  sizeBytes: number
  signal?: AbortSignal
}

/** {@link validate} with its probe in it, as the other steps take it. */
export type Validate = (file: FileToValidate) => Promise<Verdict>

const MAX_DIMENSION = 65_535
const MAX_STREAMS = 256
/** Longer than any recording: such a number is a broken header. */
const MAX_DURATION_SECONDS = 10 * 366 * 86_400

/**
 * Decides whether a downloaded file is the medium that its row declares. Invalid is a verdict about the bytes and
 * final; what says nothing about them (ffprobe absent, stopped or crashed) throws.
 *
 * @throws PROBE_MISSING, PROBE_FAILED, CANCELLED
 */
export async function validate(file: FileToValidate & { probe: Probe }): Promise<Verdict> {
  if (file.sizeBytes === 0) return invalid('the file is empty')
  const inspected = await inspect(file.absolutePath, file.signal)
  if ('fault' in inspected) return invalid(inspected.fault)
  if (inspected.picture) return judge(asProbed(inspected.picture), file.kind)
  const found = await file.probe.probe(file.absolutePath, file.signal, inspected.demuxer)
  if ('refused' in found) return invalid(`not readable as media: ${found.refused}`)
  return judge(found, file.kind)
}

/** What ffprobe would say of a picture that it cannot read. */
function asProbed({ codec, width, height, ...container }: Picture): RawProbe {
  const stream: RawStream = {
    type: 'video',
    codec,
    width,
    height,
    frameRate: null,
    channels: null,
    sampleRate: null,
    attachedPicture: false,
    durationSeconds: null,
  }
  return { ...container, durationSeconds: null, packets: 1, streams: [stream] }
}

/**
 * Exit code 0 of ffprobe is no verdict: the stream of the declared kind must be there, and be sane.
 *
 * @param declared null lets the contents decide
 */
export function judge(found: RawProbe, declared: MediaKind | null): Verdict {
  const format = formatOf({ ...found, codecs: found.streams.map((stream) => stream.codec) })
  if (!format) return invalid(`${found.demuxer} is not an accepted format`)
  if (found.streams.length > MAX_STREAMS) {
    return invalid(`it has ${found.streams.length} streams, more than ${MAX_STREAMS}`)
  }
  const content = kindOf(format, found.streams)
  if (!content) return invalid(`the ${format.name} file holds ${emptiness(format)}`)
  const kind = reconcile(format, content, declared)
  if (!kind) return invalid(`declared as ${declared}, but the file is ${content} (${format.name})`)
  if (found.packets === 0) return invalid(`the ${format.name} file has a header and no contents`)

  const durationSeconds = kind === 'image' ? null : durationOf(found)
  const problem = faultOf(kind, mainStream(kind, found.streams), durationSeconds)
  if (problem) return invalid(`${problem} (${format.name})`)
  const facts: ProbeFacts = {
    container: format.name,
    mimeType: format.mimeTypes[kind] ?? 'application/octet-stream',
    kind,
    durationSeconds,
    streams: found.streams.map((stream) => asFact(stream, kind)),
  }
  return { valid: true, facts }
}

function invalid(reason: string): Verdict {
  return { valid: false, reason }
}

/** Cover art is no content: an mp3 with a picture stays audio. */
function isPicture(stream: RawStream): boolean {
  return stream.type === 'video' && !stream.attachedPicture
}

function kindOf(format: AcceptedFormat, streams: readonly RawStream[]): MediaKind | null {
  const pictures = streams.some(isPicture)
  const sound = streams.some((stream) => stream.type === 'audio')
  if (pictures && format.mimeTypes.image) return 'image'
  if (pictures && format.mimeTypes.video) return 'video'
  if (sound && format.mimeTypes.audio) return 'audio'
  return null
}

function emptiness(format: AcceptedFormat): string {
  return `no ${Object.keys(format.mimeTypes).join(' or ')} stream`
}

/** A format may be several kinds with the same contents (a GIF is an image or a video); else the contents decide. */
function reconcile(
  format: AcceptedFormat,
  content: MediaKind,
  declared: MediaKind | null,
): MediaKind | null {
  if (declared === null || declared === content) return content
  return content === 'image' && format.mimeTypes[declared] ? declared : null
}

function mainStream(kind: MediaKind, streams: readonly RawStream[]): RawStream | undefined {
  const candidates = streams.filter(kind === 'audio' ? (s) => s.type === 'audio' : isPicture)
  return candidates.find((stream) => streamFault(kind, stream) === null) ?? candidates[0]
}

/** The container's duration, or the longest stream's; null is common in live recordings and no fault. */
function durationOf(found: RawProbe): number | null {
  if (found.durationSeconds !== null) return found.durationSeconds
  const known = found.streams.flatMap((stream) => stream.durationSeconds ?? [])
  return known.length === 0 ? null : Math.max(...known)
}

function faultOf(
  kind: MediaKind,
  stream: RawStream | undefined,
  durationSeconds: number | null,
): string | null {
  if (!stream) return `there is no ${kind} stream`
  const fault = streamFault(kind, stream)
  if (fault) return fault
  if (durationSeconds === null) return null
  if (durationSeconds <= 0) return `the ${kind} lasts 0 seconds`
  if (durationSeconds > MAX_DURATION_SECONDS) return `the ${kind} claims to last for years`
  return null
}

function streamFault(kind: MediaKind, stream: RawStream): string | null {
  if (stream.codec === null) return `the ${kind} stream has no known codec`
  if (kind === 'audio') {
    if (!stream.channels) return 'the audio stream has no channels'
    if (!stream.sampleRate) return 'the audio stream has no sample rate'
    return null
  }
  const { width, height } = stream
  if (!width || !height) return `the ${kind} has no dimensions`
  if (width > MAX_DIMENSION || height > MAX_DIMENSION) {
    return `the ${kind} claims ${width} × ${height} pixels`
  }
  return null
}

/** ffprobe invents 25 frames a second for a still image. */
function asFact({ durationSeconds: _, ...stream }: RawStream, kind: MediaKind): ProbedStream {
  return kind === 'image' ? { ...stream, frameRate: null } : stream
}
