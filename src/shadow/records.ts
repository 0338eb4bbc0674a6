import { createHash } from 'node:crypto'
import { z } from 'zod'
import { PRIVATE_FOLDER } from '../archive-path.ts'
import { AppError } from '../errors.ts'
import type { AdoptedMedia } from '../media.ts'
import { sidecarSchema } from '../sidecar-schema.ts'
import type { Disk } from '../storage/disk.ts'
import { replaceJson } from './json-file.ts'

/** Inside SHADOW_DIR; one file for each version of a media row. */
export const RECORD_FOLDER = `${PRIVATE_FOLDER}/records`
const RECORD_MAX_BYTES = 1024 * 1024

/**
 * `hold`: it waits for a person, before its bytes are judged. `late`: the other service had archived it and its source was
 * gone, or another one was there, before anything could be looked at. `missing` and `retry` are looked at again in the next run.
 */
export const shadowVerdicts = ['archive', 'reject', 'hold', 'late', 'missing', 'retry'] as const
export type ShadowVerdict = (typeof shadowVerdicts)[number]

const recordSchema = z.object({
  schema_version: z.literal(1),
  media_id: z.int(),
  /** Names the version of the row, see {@link versionOf}. */
  version: z.string().regex(/^[0-9a-f]{16}$/),
  verdict: z.enum(shadowVerdicts),
  /** Why it would not be archived; null when it would. */
  reason: z.string().nullable(),
  looked_at: z.iso.datetime(),
  attempts: z.int(),
  /** Of the source, once it was read. */
  source: z
    .object({
      etag: z.string(),
      last_modified: z.iso.datetime(),
      bytes: z.int(),
      sha256: z.string(),
    })
    .nullable(),
  /** What would lie beside the archived file. */
  sidecar: sidecarSchema.nullable(),
  /** The copy is still in SHADOW_DIR. */
  kept: z.boolean(),
})

/** What Strongroom would have done with one version of a media row. */
export type ShadowRecord = z.infer<typeof recordSchema>

/** What a run needs to know of a record again and again. */
export interface KnownRecord {
  verdict: ShadowVerdict
  attempts: number
}

export interface Records {
  /** @returns null for what was not looked at yet */
  known(mediaId: number, version: string): KnownRecord | null
  /** Bytes of the copies that are still there. */
  keptBytes(): number
  /** False when another medium has this path. */
  reserve(archivePath: string, mediaId: number): boolean
  save(record: ShadowRecord): Promise<void>
}

/**
 * Names what a row says of its version: another key or time of approval is another version. Its size does not tell, because
 * the other service may write what it found.
 */
export function versionOf({
  objectKey,
  approvedAt,
}: Pick<AdoptedMedia, 'objectKey' | 'approvedAt'>): string {
  const facts = JSON.stringify([objectKey, approvedAt?.toISOString() ?? null])
  return createHash('sha256').update(facts).digest('hex').slice(0, 16)
}

/** Opens what earlier runs remembered. @throws SIDECAR_INVALID for a record that cannot be read */
export async function openRecords(disk: Disk): Promise<Records> {
  const known = new Map<string, KnownRecord>()
  const owners = new Map<string, number>()
  let keptBytes = 0
  const note = (record: ShadowRecord) => {
    const { verdict, attempts, sidecar } = record
    known.set(nameOf(record), { verdict, attempts })
    if (sidecar === null) return
    owners.set(sidecar.archive_path, record.media_id)
    if (record.kept) keptBytes += sidecar.bytes
  }
  for await (const record of readRecords(disk)) note(record)
  return {
    known: (media_id, version) => known.get(nameOf({ media_id, version })) ?? null,
    keptBytes: () => keptBytes,
    reserve(archivePath, mediaId) {
      const owner = owners.get(archivePath) ?? mediaId
      if (owner === mediaId) owners.set(archivePath, mediaId)
      return owner === mediaId
    },
    async save(record) {
      await replaceJson(disk, `${RECORD_FOLDER}/${nameOf(record)}.json`, record)
      note(record)
    },
  }
}

type ReadingDisk = Pick<Disk, 'root' | 'list' | 'read'>

/** Of which media there are records. */
export async function recordedMedia(disk: ReadingDisk): Promise<number[]> {
  const names = await disk.list(RECORD_FOLDER)
  return names.flatMap((name) => (isRecord(name) ? [Number.parseInt(name, 10)] : []))
}

/** @returns null when this version was not looked at; @throws SIDECAR_INVALID */
export async function readRecord(
  disk: ReadingDisk,
  of: Pick<ShadowRecord, 'media_id' | 'version'>,
): Promise<ShadowRecord | null> {
  const name = `${nameOf(of)}.json`
  const text = await disk.read(`${RECORD_FOLDER}/${name}`, RECORD_MAX_BYTES)
  return text === null ? null : parseRecord(disk, name, text.toString('utf8'))
}

async function* readRecords(disk: ReadingDisk): AsyncGenerator<ShadowRecord> {
  for (const name of await disk.list(RECORD_FOLDER)) {
    if (!isRecord(name)) continue
    const text = await disk.read(`${RECORD_FOLDER}/${name}`, RECORD_MAX_BYTES)
    if (text !== null) yield parseRecord(disk, name, text.toString('utf8'))
  }
}

function isRecord(name: string): boolean {
  return /^\d+-[0-9a-f]{16}\.json$/.test(name)
}

function parseRecord({ root }: Pick<Disk, 'root'>, name: string, text: string): ShadowRecord {
  try {
    return recordSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError('SIDECAR_INVALID', `${root}/${RECORD_FOLDER}/${name} is not a record`, {
      cause,
      hint: 'remove it: its medium is looked at again if it is still approved',
    })
  }
}

function nameOf({ media_id, version }: Pick<ShadowRecord, 'media_id' | 'version'>): string {
  return `${media_id}-${version}`
}
