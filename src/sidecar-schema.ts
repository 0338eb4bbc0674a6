import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { mediaKinds, proofKinds } from './media.ts'

/** Raised only when an older reader would misunderstand the file; new keys alone do not raise it. */
export const SIDECAR_SCHEMA_VERSION = 1

const identifier = z.int().positive()
const count = z.int().nonnegative()
const instant = z.iso.datetime()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in lower-case hex')
const kind = z.enum(mediaKinds)

const streamSchema = z.object({
  type: z.enum(['video', 'audio', 'subtitle', 'data', 'attachment']),
  codec: z.string().nullable(),
  width: z.number().nullable(),
  height: z.number().nullable(),
  frame_rate: z.number().nullable().describe('frames per second'),
  channels: z.number().nullable(),
  sample_rate: z.number().nullable().describe('Hz'),
  attached_picture: z.boolean().describe('cover art and the like'),
})

const declaredSchema = z
  .object({
    content_type: kind.nullable(),
    mime_type: z.string().nullable(),
    bytes: count.nullable(),
  })
  .describe('what the backend’s row said')

const sourceSchema = z
  .object({
    bucket: z.string().nullable(),
    key: z.string(),
    etag: z.string().nullable().describe('as the store sent it, without quotes'),
    version_id: z.string().nullable(),
    last_modified: instant.nullable(),
    bytes: count.nullable(),
  })
  .describe(
    'the object that the file was archived from; of one that another service archived only the key is known',
  )

const probeSchema = z
  .object({
    container: z.string(),
    mime_type: z.string(),
    content_type: kind,
    duration_seconds: z.number().nullable(),
    streams: z.array(streamSchema),
  })
  .describe('what ffprobe found')

/** The published format of `<file>.json`. Unknown keys are dropped on reading, but covered by the hash. */
export const sidecarSchema = z.object({
  schema_version: z.literal(SIDECAR_SCHEMA_VERSION),
  program_version: z.string().describe('the version of Strongroom that wrote it'),
  media_id: identifier.describe('a token opens the file only if it carries the same id'),
  user_id: identifier.nullable(),
  title: z.string().nullable(),
  filename: z
    .string()
    .nullable()
    .describe('as the uploader named it; the name in the archive is the end of archive_path'),
  content_type: kind.nullable().describe('what the bytes were found to be; null for no media'),
  mime_type: z.string().describe('what the file server sends as Content-Type'),
  declared: declaredSchema,
  archive_path: z.string().min(1).describe('relative to the folder of the archive'),
  bytes: count,
  sha256: sha256.describe('of the whole file'),
  source: sourceSchema.nullable().describe('null for a file that was put into the archive by hand'),
  probe: probeSchema.nullable().describe('null for an adopted file that ffprobe does not know'),
  proof: z
    .object({ kind: z.enum(proofKinds), value: z.string().nullable() })
    .nullable()
    .describe('how the copy was proven to be the bucket’s bytes; null for an adopted file'),
  approved_at: instant.nullable(),
  filed_at: instant.describe('when it was filed or adopted; sent as Last-Modified'),
})

/** What a sidecar says of its file: enough to rebuild the database row and to serve the file without a database. */
export type Sidecar = z.infer<typeof sidecarSchema>

/** The text of docs/sidecar.schema.json: JSON Schema 2020-12 of the whole file, its hash of itself included. */
export function sidecarJsonSchema(): string {
  const file = sidecarSchema.extend({
    self_sha256: sha256.describe(
      'SHA-256 of this object without this key, as compact JSON with sorted keys (as in RFC 8785)',
    ),
  })
  const title = 'Sidecar of a file in a Strongroom archive, <file>.json beside <file>'
  const { $schema, ...schema } = z.toJSONSchema(file, { io: 'input' })
  return `${JSON.stringify({ $schema, title, ...schema }, null, 2)}\n`
}

if (import.meta.main) {
  writeFileSync(join(import.meta.dirname, '../docs/sidecar.schema.json'), sidecarJsonSchema())
}
