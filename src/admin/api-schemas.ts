/** What the API takes and gives; the OpenAPI document is made of these very schemas. */
import { z } from '@hono/zod-openapi'
import { MOST_SHOWN } from '../db/item-list.ts'
import { ERRORS, type ErrorCode } from '../errors.ts'
import { itemStates } from '../item-states.ts'
import { mediaKinds, proofKinds } from '../media.ts'
import { jobs, runStatuses, runTriggers } from '../runs.ts'

const codes = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]
const time = z.iso.datetime().openapi({ example: '2026-03-05T04:30:00.000Z' })
const id = z.int().positive()
/** In addresses all is text: one number has one spelling. */
function numberIn<Schema extends z.ZodType<number, number>>(of: Schema) {
  const what = 'must be a whole number'
  return z
    .string(what)
    .regex(/^(?:0|[1-9]\d{0,18})$/, what)
    .transform(Number)
    .pipe(of)
}
/** What PostgreSQL can keep: it has neither NUL nor half a surrogate pair. */
const text = z
  .string()
  .regex(/^[^\0]*$/, 'must not contain NUL')
  .refine((given) => given.isWellFormed(), 'must be Unicode')

export const problem = z
  .object({
    error: z.enum(codes).openapi({ description: 'One word of a closed list.' }),
    message: z.string().openapi({ description: 'What is wrong.' }),
    hint: z.string().openapi({ description: 'What a person can do about it.' }),
  })
  .openapi('Problem')

const itemState = z.enum(itemStates as [(typeof itemStates)[0], ...typeof itemStates])

export const mediaIdParam = z.object({
  media_id: numberIn(id).openapi({
    param: { name: 'media_id', in: 'path' },
    type: 'integer',
    example: 42,
  }),
})

/** Of every list: newest first, then those before the last one's id. */
export const pageQuery = z.object({
  before: numberIn(id)
    .optional()
    .openapi({
      param: { name: 'before', in: 'query' },
      type: 'integer',
      description: 'Only what is older: `next` of the page before.',
    }),
  limit: numberIn(z.int().min(1).max(200))
    .default(50)
    .openapi({
      param: { name: 'limit', in: 'query' },
      type: 'integer',
      minimum: 1,
      maximum: 200,
      default: 50,
    }),
})

export const itemQuery = pageQuery.extend({
  state: itemState.optional().openapi({ param: { name: 'state', in: 'query' } }),
  unseen: z
    .enum(['true', 'false'])
    .default('false')
    .openapi({
      param: { name: 'unseen', in: 'query' },
      description: 'True leaves out what was acknowledged in the state that it is in.',
    }),
  q: z
    .string()
    .max(200)
    .optional()
    .openapi({
      param: { name: 'q', in: 'query' },
      description:
        'A media id, a whole archive path, or beginnings of words of title and file name; `state` does not count then.',
    }),
})

const next = id.nullable().openapi({ description: '`before` of the next page; null on the last.' })

const stream = z.object({
  type: z.enum(['video', 'audio', 'subtitle', 'data', 'attachment']),
  codec: z.string().nullable(),
  width: z.number().nullable(),
  height: z.number().nullable(),
  frame_rate: z.number().nullable(),
  channels: z.number().nullable(),
  sample_rate: z.number().nullable(),
  attached_picture: z.boolean(),
})

const probe = z.object({
  container: z.string(),
  mime_type: z.string(),
  kind: z.enum(mediaKinds),
  duration_seconds: z.number().nullable(),
  streams: z.array(stream),
})

/** One version of a medium. */
const version = z
  .object({
    generation: z.int(),
    state: itemState,
    current: z.boolean().openapi({ description: 'The media row still says what was claimed.' }),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
    attempts: z.int(),
    next_attempt_at: time,
    lease_owner: z.string().nullable().openapi({ description: 'Who works on it now.' }),
    bucket: z.string().nullable(),
    object_key: z.string(),
    etag: z.string().nullable(),
    archive_path: z.string().nullable(),
    size_bytes: z.int().nullable(),
    sha256: z.string().nullable(),
    proof: z.object({ kind: z.enum(proofKinds), value: z.string().nullable() }).nullable(),
    filed_at: time.nullable(),
    archived_at: time.nullable(),
    release_due: time.nullable(),
    released_at: time.nullable(),
    verified_at: time.nullable(),
    damage: z.string().nullable().openapi({ description: 'What the last reading found wrong.' }),
  })
  .openapi('Version')

const mediaRow = z
  .object({
    status: z.string().nullable(),
    deleted: z.boolean(),
    has_key: z.boolean(),
    has_approval: z.boolean(),
  })
  .nullable()
  .openapi({ description: 'What the backend says of it; null when it has no such row.' })

const beginning = z
  .string()
  .nullable()
  .openapi({ description: `Its first ${MOST_SHOWN} characters.` })

export const item = version
  .extend({
    item: id,
    media_id: id,
    title: beginning,
    filename: beginning,
    content_type: z.enum(mediaKinds).nullable(),
    declared_bytes: z.int().nullable(),
    probe: probe.nullable(),
    updated_at: time,
    acknowledged_at: time.nullable(),
    row: mediaRow,
    why: z.string().openapi({ description: 'What happened, why, and what to do now.' }),
  })
  .openapi('Item')

export const itemPage = z.object({ items: z.array(item), next }).openapi('ItemPage')

export const medium = z
  .object({
    media_id: id,
    why: z.string(),
    row: mediaRow,
    versions: z.array(version).openapi({ description: 'With their proofs, newest first.' }),
  })
  .openapi('Medium')

export const acknowledgement = z
  .strictObject({ note: text.max(1000).nullable().default(null) })
  .openapi('Acknowledgement')

export const mintOrder = z
  .strictObject({
    media_id: id,
    user_id: id.nullable().default(null).openapi({ description: 'By default the media row’s.' }),
    ttl_seconds: z
      .int()
      .positive()
      .default(3_600)
      .openapi({ description: 'At most TOKEN_MAX_TTL.' }),
    ip: z
      .string()
      .max(64)
      .nullable()
      .default(null)
      .openapi({ description: 'The only address, or range of them, that it works from.' }),
    max_downloads: z
      .int()
      .positive()
      .nullable()
      .default(null)
      .openapi({ description: 'At most 1,000; null sets no limit.' }),
  })
  .openapi('MintOrder')

export const link = z.object({ url: z.string(), expires_at: time }).openapi('Link')

export const revocation = z
  .strictObject({
    token: text
      .min(1)
      .max(8192)
      .openapi({ description: 'The link, its token, or a jti, which stands for all with it.' }),
    keep_seconds: z.int().positive().nullable().default(null).openapi({
      description: 'For a jti: how long its tokens can be valid; by default for ever.',
    }),
  })
  .openapi('Revocation')

export const revoked = z
  .object({
    revoked: z.boolean().openapi({ description: 'False for a token that has expired already.' }),
    subject: z.string(),
  })
  .openapi('Revoked')

const check = z.object({
  ok: z.boolean(),
  latency_ms: z.number(),
  error: z.string().nullable(),
  checked_at: time,
})

export const health = z
  .object({
    ok: z.boolean(),
    checks: z.record(z.string(), check),
    gauges: z.record(z.string(), z.number().nullable()),
  })
  .openapi('Health')

const action = z.object({
  id,
  at: time,
  action: z.string(),
  actor: z.string(),
  client: z.string().nullable(),
  media_id: id.nullable(),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).nullable()),
  outcome: z.string().nullable(),
})

export const actionPage = z.object({ actions: z.array(action), next }).openapi('ActionPage')

export const done = z.object({ media_id: id, why: z.string() }).openapi('Done')

const job = z.enum(jobs)

export const runQuery = pageQuery.extend({
  job: job.optional().openapi({ param: { name: 'job', in: 'query' } }),
})

export const runParam = z.object({
  id: numberIn(id).openapi({ param: { name: 'id', in: 'path' }, type: 'integer', example: 7 }),
})

export const run = z
  .object({
    id: id.nullable(),
    job,
    trigger: z.enum(runTriggers),
    mode: z.enum(['live', 'dry-run', 'shadow']),
    status: z.enum(runStatuses),
    node: z.string(),
    started_at: time,
    ended_at: time.nullable(),
    attempts: z.int(),
    items: z.record(z.string(), z.number()),
    bytes: z.int(),
    error: z
      .object({ code: z.string(), message: z.string(), hint: z.string().nullable() })
      .nullable(),
  })
  .openapi('Run')

export const runPage = z.object({ runs: z.array(run), next }).openapi('RunPage')

export const loggedRun = run.extend({ log: z.string().nullable() }).openapi('LoggedRun')

export const runOrder = z.strictObject({ job: z.literal('sync') }).openapi('RunOrder')
