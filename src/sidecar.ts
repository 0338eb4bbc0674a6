import { createHash } from 'node:crypto'
import { AppError } from './errors.ts'
import type { AdoptedFile, AdoptedMedia, Intent, MediaRow, ProbeFacts, Source } from './media.ts'
import { SIDECAR_SCHEMA_VERSION, type Sidecar, sidecarSchema } from './sidecar-schema.ts'

export type { Sidecar } from './sidecar-schema.ts'

/** A sidecar that is larger is not one of ours: no reader takes in more. */
export const SIDECAR_MAX_BYTES = 1024 * 1024

/** The sidecar's place, beside the file that it describes. */
export function sidecarPathOf(archivePath: string): string {
  return `${archivePath}.json`
}

/** Says of one committed intent all that its database row knows. */
export function buildSidecar(facts: { media: MediaRow; intent: Intent; version: string }): Sidecar {
  const { media, intent, version } = facts
  const { source, proof } = intent
  return {
    ...mediaSection(media, version),
    content_type: intent.probe.kind,
    mime_type: intent.probe.mimeType,
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
    probe: probeSection(intent.probe),
    proof: { kind: proof.kind, value: proof.value },
    approved_at: media.approvedAt.toISOString(),
    filed_at: intent.filedAt.toISOString(),
  }
}

/** Says of a file that was there before us what is known of it: it was compared with no source, and may have none. */
export function buildAdoptedSidecar(facts: {
  media: AdoptedMedia
  file: AdoptedFile
  version: string
}): Sidecar {
  const { media, file, version } = facts
  return {
    ...mediaSection(media, version),
    content_type: file.kind,
    mime_type: file.mimeType,
    archive_path: file.archivePath,
    bytes: file.sizeBytes,
    sha256: file.sha256,
    source:
      media.objectKey === null
        ? null
        : {
            bucket: null,
            key: media.objectKey,
            etag: null,
            version_id: null,
            last_modified: null,
            bytes: null,
          },
    probe: file.probe && probeSection(file.probe),
    proof: null,
    approved_at: media.approvedAt?.toISOString() ?? null,
    filed_at: file.adoptedAt.toISOString(),
  }
}

function mediaSection(media: Omit<AdoptedMedia, 'objectKey' | 'approvedAt'>, version: string) {
  return {
    schema_version: SIDECAR_SCHEMA_VERSION,
    program_version: version,
    media_id: media.mediaId,
    user_id: media.userId,
    title: media.title,
    filename: media.filename,
    declared: {
      content_type: media.contentType,
      mime_type: media.mimeType,
      bytes: media.declaredBytes,
    },
  } as const
}

function probeSection(probe: ProbeFacts): Sidecar['probe'] {
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

/** The file that a sidecar describes. */
export function adoptedFileOf(sidecar: Sidecar): AdoptedFile {
  const { probe } = sidecar
  return {
    archivePath: sidecar.archive_path,
    sizeBytes: sidecar.bytes,
    sha256: sidecar.sha256,
    mimeType: sidecar.mime_type,
    kind: sidecar.content_type,
    probe: probe && {
      container: probe.container,
      mimeType: probe.mime_type,
      kind: probe.content_type,
      durationSeconds: probe.duration_seconds,
      streams: probe.streams.map(({ frame_rate, sample_rate, attached_picture, ...stream }) => ({
        ...stream,
        frameRate: frame_rate,
        sampleRate: sample_rate,
        attachedPicture: attached_picture,
      })),
    },
    adoptedAt: new Date(sidecar.filed_at),
  }
}

/** What the media row said, as far as its sidecar tells. */
export function describedMedia(sidecar: Sidecar): AdoptedMedia {
  return {
    mediaId: sidecar.media_id,
    userId: sidecar.user_id,
    title: sidecar.title,
    filename: sidecar.filename,
    contentType: sidecar.declared.content_type,
    mimeType: sidecar.declared.mime_type,
    declaredBytes: sidecar.declared.bytes,
    objectKey: sidecar.source?.key ?? null,
    approvedAt: sidecar.approved_at === null ? null : new Date(sidecar.approved_at),
  }
}

/** The object version that a file was archived from; null for an adopted one. */
export function sourceOf({ source, proof }: Sidecar): Source | null {
  if (source === null || proof === null) return null
  const { bucket, key, etag, version_id: versionId, last_modified: lastModified, bytes } = source
  if (bucket === null || etag === null || lastModified === null || bytes === null) return null
  return { bucket, key, etag, versionId, lastModified: new Date(lastModified), sizeBytes: bytes }
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
  if (renderSealed(rest) !== source)
    throw invalid(
      claimed === selfHash(rest)
        ? 'it is not in canonical form'
        : 'its own hash does not fit its contents',
    )
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
    hint: 'Restore the sidecar from a backup; `strongroom verify` finds all such files.',
  })
}
