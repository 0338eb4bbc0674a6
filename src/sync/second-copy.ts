import type { Removal, RemovalOutcome } from '../db/removals.ts'
import type { SecondCopy, SecondItems, TakenItem } from '../db/second.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Intent, MediaRow } from '../media.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import type { NewObject, ObjectFacts, UploadBucket } from '../storage/bucket.ts'
import { hashVersion } from './download.ts'
import type { Parts } from './parts.ts'
import { describesIntent } from './sidecar-file.ts'
import { receive } from './transfer.ts'

/** What files are moved to the second bucket with, and brought back. */
export type SecondParts = Pick<
  Parts,
  'disk' | 'folders' | 'volume' | 'leases' | 'policy' | 'reached' | 'log'
> & {
  second: SecondItems
  bucket: UploadBucket
  /** What its keys begin with. */
  prefix: string
  node: string
  /** Enters the removal of a file before it happens, and what became of it. */
  begin: (removal: Removal) => Promise<number>
  end: (id: number, outcome: RemovalOutcome) => Promise<void>
}

/** Where a file of the archive lies in the second bucket. */
export function secondKeyOf(prefix: string, archivePath: string): string {
  return `${prefix}${archivePath}`
}

/**
 * Takes an item, works on it under its lease, and gives it back where the work fails.
 *
 * @returns null when it cannot be taken: a worker has it, or it is not what it was
 */
export async function withTaken<T>(
  { second, leases }: Pick<SecondParts, 'second' | 'leases'>,
  { item, as }: { item: number; as: Parameters<SecondItems['take']>[1] },
  signal: AbortSignal,
  work: (taken: TakenItem, signal: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const since = leases.now()
  const taken = await second.take(item, as)
  if (taken === null) return null
  const lost = leases.hold(taken.item, since)
  try {
    return await work(taken, AbortSignal.any([signal, lost]))
  } catch (error) {
    // Else the lease runs out.
    await second.giveBack(taken.item).catch(() => {})
    throw lost.aborted ? lost.reason : error
  } finally {
    leases.drop(taken.item)
  }
}

/**
 * Puts a file and its sidecar into the second bucket and reads both back from there. What lies under their keys already is
 * used if it is the same, and never overwritten.
 *
 * @returns the copy, whose bytes have the archived SHA-256
 * @throws NAME_TAKEN (something else lies there), TRANSFER_*, OBJECT_*, BUCKET_*, DISK_*, SIDECAR_INVALID, CANCELLED
 */
export async function copyAndProve(
  parts: Pick<SecondParts, 'disk' | 'bucket' | 'prefix' | 'reached' | 'log'>,
  { item, intent }: { item: { id: number; epoch: number; media: MediaRow }; intent: Intent },
  signal: AbortSignal,
): Promise<SecondCopy> {
  const { disk, bucket, prefix, reached } = parts
  const { archivePath, sha256 } = intent
  const { sizeBytes } = intent.source
  await copySidecar(parts, { item, intent }, signal)
  const key = secondKeyOf(prefix, archivePath)
  const chunks = () => disk.chunks(archivePath, signal)
  const facts = await present(parts, key, { sizeBytes, chunks }, signal)
  await reached('copy-uploaded', item)
  if (facts.sizeBytes !== sizeBytes) throw taken(bucket, key)
  const found = await hashVersion(parts, { item: item.id, key, facts }, signal)
  if (found !== sha256) throw taken(bucket, key)
  await reached('copy-proven', item)
  const { etag, versionId } = facts
  return { bucketId: bucket.id, key, etag, versionId, sizeBytes, sha256 }
}

/** The whole of a small object, of exactly this version. */
export async function readObject(
  parts: Pick<Parts, 'bucket' | 'log'>,
  { item, key, facts }: { item: number; key: string; facts: ObjectFacts },
  signal: AbortSignal,
): Promise<Buffer> {
  const read: Buffer[] = []
  const take = (chunk: Uint8Array) => void read.push(Buffer.from(chunk))
  await receive(parts, { item, key, facts, from: 0, signal }, { take })
  return Buffer.concat(read)
}

/** @returns what the bucket says of the object that lies under this key, and was put there if nothing did */
async function present(
  { bucket }: Pick<SecondParts, 'bucket'>,
  key: string,
  ...[object, signal]: [NewObject, AbortSignal]
): Promise<ObjectFacts> {
  const before = await bucket.head(key, signal)
  if (before !== null) return before
  const uploaded = await bucket.upload(key, object, signal)
  const facts = await bucket.head(key, signal)
  if (facts === null)
    throw new AppError('TRANSFER_BROKEN', `${bucket.id} has no object "${key}" after its upload`)
  if (uploaded !== 'taken' && uploaded.etag !== facts.etag) throw taken(bucket, key)
  return facts
}

/** A sidecar that was written anew since the last time may differ, and describe the same file. */
async function copySidecar(
  parts: Pick<SecondParts, 'disk' | 'bucket' | 'prefix' | 'log'>,
  { item, intent }: { item: { id: number; media: MediaRow }; intent: Intent },
  signal: AbortSignal,
): Promise<void> {
  const { disk, bucket, prefix } = parts
  const path = sidecarPathOf(intent.archivePath)
  const text = await disk.read(path, SIDECAR_MAX_BYTES)
  if (text === null) throw new AppError('FILE_MISSING', `the sidecar ${path} is not there`)
  const key = secondKeyOf(prefix, path)
  const chunks = () => once(text)
  const facts = await present(parts, key, { sizeBytes: text.byteLength, chunks }, signal)
  if (facts.sizeBytes > SIDECAR_MAX_BYTES) throw taken(bucket, key)
  const there = await readObject(parts, { item: item.id, key, facts }, signal)
  if (!describes(there, { media: item.media, intent })) throw taken(bucket, key)
}

function describes(text: Buffer, of: { media: MediaRow; intent: Intent }): boolean {
  try {
    return describesIntent(parseSidecar(text), of)
  } catch (error) {
    if (isAppError(error, 'SIDECAR_INVALID')) return false
    throw error
  }
}

function taken(bucket: UploadBucket, key: string): AppError {
  return new AppError('NAME_TAKEN', `${bucket.id} has something else under the key "${key}"`, {
    hint: 'look at that object, and remove it if nobody needs it; nothing is overwritten',
  })
}

async function* once(text: Uint8Array) {
  yield text
}
