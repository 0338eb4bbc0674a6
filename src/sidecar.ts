import { createHash } from 'node:crypto'
import { z } from 'zod'
import { AppError } from './errors.ts'
import { type Intent, type MediaRow, mediaKinds, proofKinds } from './media.ts'

/** Raised only when an older reader would misunderstand the file; new keys alone do not raise it. */
export const SIDECAR_SCHEMA_VERSION = 1

/** A sidecar that is larger is not one of ours: no reader takes in more. */
export const SIDECAR_MAX_BYTES = 1024 * 1024

const identifier = z.int().positive()
const count = z.int().nonnegative()
const instant = z.iso.datetime()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in lower-case hex')

const streamSchema = z.object({
  type: z.enum(['video', 'audio', 'subtitle', 'data', 'attachment']),
  codec: z.string().nullable(),
  width: z.number().nullable(),
  height: z.number().nullable(),
  frame_rate: z.number().nullable(),
  channels: z.number().nullable(),
  sample_rate: z.number().nullable(),
  attached_picture: z.boolean(),
})

/** The published format of `<file>.json`. Unknown keys are dropped on reading, but covered by the hash. */
const sidecarSchema = z.object({
  schema_version: z.literal(SIDECAR_SCHEMA_VERSION),
  program_version: z.string(),
  media_id: identifier,
  user_id: identifier.nullable(),
  title: z.string().nullable(),
  /** As the uploader named it; the name in the archive is the last part of `archive_path`. */
  filename: z.string().nullable(),
  /** What the bytes were found to be; what the backend's row said is under `declared`. */
  content_type: z.enum(mediaKinds),
  mime_type: z.string(),
  declared: z.object({
    content_type: z.enum(mediaKinds).nullable(),
    mime_type: z.string().nullable(),
    bytes: count.nullable(),
  }),
  /** Relative to the archive's folder. */
  archive_path: z.string().min(1),
  bytes: count,
  sha256,
  source: z.object({
    bucket: z.string(),
    key: z.string(),
    etag: z.string(),
    version_id: z.string().nullable(),
    last_modified: instant,
    bytes: count,
  }),
  probe: z.object({
    container: z.string(),
    mime_type: z.string(),
    content_type: z.enum(mediaKinds),
    duration_seconds: z.number().nullable(),
    streams: z.array(streamSchema),
  }),
  proof: z.object({ kind: z.enum(proofKinds), value: z.string().nullable() }),
  approved_at: instant,
  filed_at: instant,
})

/** What a sidecar says of its file: enough to rebuild the database row and to serve the file without a database. */
export type Sidecar = z.infer<typeof sidecarSchema>

/** The sidecar's place, beside the file that it describes. */
export function sidecarPathOf(archivePath: string): string {
  return `${archivePath}.json`
}

/** Says of one committed intent all that its database row knows. */
export function buildSidecar(facts: { media: MediaRow; intent: Intent; version: string }): Sidecar {
  const { media, intent, version } = facts
  const { source, proof } = intent
  return {
    schema_version: SIDECAR_SCHEMA_VERSION,
    program_version: version,
    media_id: media.mediaId,
    user_id: media.userId,
    title: media.title,
    filename: media.filename,
    content_type: intent.probe.kind,
    mime_type: intent.probe.mimeType,
    declared: {
      content_type: media.contentType,
      mime_type: media.mimeType,
      bytes: media.declaredBytes,
    },
    archive_path: intent.archivePath,
    bytes: source.sizeBytes,
    sha256: intent.sha256,
    source: {
      bucket: source.bucket,
      key: source.key,
      etag: source.etag,
      version_id: source.versionId,
      last_modified: source.lastModified.toISOString(),
      bytes: source.sizeBytes,
    },
    probe: probeSection(intent),
    proof: { kind: proof.kind, value: proof.value },
    approved_at: media.approvedAt.toISOString(),
    filed_at: intent.filedAt.toISOString(),
  }
}

function probeSection({ probe }: Intent): Sidecar['probe'] {
  return {
    container: probe.container,
    mime_type: probe.mimeType,
    content_type: probe.kind,
    duration_seconds: probe.durationSeconds,
    streams: probe.streams.map((stream) => ({
      type: stream.type,
      codec: stream.codec,
      width: stream.width,
      height: stream.height,
      frame_rate: stream.frameRate,
      channels: stream.channels,
      sample_rate: stream.sampleRate,
      attached_picture: stream.attachedPicture,
    })),
  }
}

/**
 * The exact text of a sidecar: keys sorted, indented by two, a newline at the end, and in `self_sha256` the
 * SHA-256 over the compact form without that key. The same facts give the same bytes on every machine.
 */
export function renderSidecar(sidecar: Sidecar): string {
  return renderSealed(sidecar)
}

/**
 * Reads a sidecar and trusts nothing that was not written by {@link renderSidecar}: one changed byte, even of
 * white space, is refused.
 *
 * @param text the file as text, or its bytes (preferred: invalid UTF-8 is then refused too)
 * @throws SIDECAR_INVALID
 */
export function parseSidecar(text: string | Uint8Array): Sidecar {
  const { value, source } = parseJson(text)
  const { self_sha256: claimed, ...rest } = value
  if (claimed !== selfHash(rest)) throw invalid('its own hash does not fit its contents')
  if (renderSealed(rest) !== source) throw invalid('it is not in canonical form')
  const parsed = sidecarSchema.safeParse(rest)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw invalid(`${issue?.path.join('.') || 'contents'}: ${issue?.message ?? 'unexpected'}`)
}

function parseJson(text: string | Uint8Array): { value: Record<string, unknown>; source: string } {
  try {
    const source =
      typeof text === 'string'
        ? text
        : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)
    const value: unknown = JSON.parse(source)
    if (isRecord(value)) return { value, source }
  } catch (error) {
    throw invalid('it is not JSON', error)
  }
  throw invalid('it is not a JSON object')
}

function renderSealed(unsealed: Record<string, unknown>): string {
  const sealed = { ...unsealed, self_sha256: selfHash(unsealed) }
  return `${JSON.stringify(sortKeys(sealed), null, 2)}\n`
}

function selfHash(unsealed: Record<string, unknown>): string {
  return createHash('sha256')
    .update(JSON.stringify(sortKeys(unsealed)))
    .digest('hex')
}

/** Sorted by UTF-16 code units, as in RFC 8785. The limit keeps a hostile file from exhausting the stack. */
function sortKeys(value: unknown, depth = 0): unknown {
  if (depth > 32) throw invalid('it is nested too deeply')
  if (Array.isArray(value)) return value.map((entry) => sortKeys(entry, depth + 1))
  if (!isRecord(value)) return value
  const entries = Object.keys(value).sort()
  return Object.fromEntries(entries.map((key) => [key, sortKeys(value[key], depth + 1)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(reason: string, cause?: unknown): AppError {
  return new AppError('SIDECAR_INVALID', `the sidecar is not valid: ${reason}`, {
    cause,
    hint: 'Restore the sidecar or let `strongroom fsck --repair` rebuild it from the database.',
  })
}
