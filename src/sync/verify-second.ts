import type { DueFile, MovedFile, SecondLook } from '../db/second-files.ts'
import { type AppError, isAppError, toAppError } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import type { Bucket } from '../storage/bucket.ts'
import { DOUBTS_ALLOWED, ofOneKey } from '../storage/one-key.ts'
import { hashVersion } from './download.ts'
import { readObject, type SecondParts } from './second-copy.ts'

/** What can be wrong with a file in the second bucket; `elsewhere`: it is in another one than the configured. */
export type SecondTrouble = 'missing' | 'differs' | 'sidecar' | 'elsewhere' | 'unreadable'

export interface SecondVerified {
  file: MovedFile
  verdict: 'whole' | SecondTrouble
  reason: string | null
  /** Its bytes were read, and not only asked for. */
  read: boolean
}

export interface VerifySecondParts extends Pick<SecondParts, 'log'> {
  /** Null where none is configured: then all that was moved is elsewhere. */
  bucket: Bucket | null
  /** Moved files, after the one of that item; none ends it. */
  next: (after: number) => Promise<readonly DueFile[]>
  /** Null for one that is not moved any more. */
  again: (item: number) => Promise<MovedFile | null>
  note: (item: number, look: SecondLook) => Promise<void>
  /** Waits as long as reading so many bytes should have taken. */
  pace: (bytes: number) => Promise<void>
}

/**
 * Looks at what was moved again in the second bucket, file and sidecar, and compares it with what was archived: by its size and
 * ETag, or by its bytes where these differ or it is due to be read. Something is wrong only once it was seen twice. Changes
 * nothing but what is noted of it. Of an object that the store fails to give while it answers otherwise that is told, too.
 *
 * @throws BUCKET_* (the bucket itself), DB_*, CANCELLED
 */
export async function* verifySecond(
  parts: VerifySecondParts,
  signal: AbortSignal,
): AsyncGenerator<SecondVerified> {
  let doubts = 0
  for (let page = await parts.next(0); page.length > 0; ) {
    for (const file of page) {
      signal.throwIfAborted()
      const look = await lookTwice(parts, file, signal)
      if (look === null) continue
      const { found, etag, read, doubt } = look
      const trouble = found === null ? null : `${found.verdict}: ${found.reason}`
      const whole = read && (found === null || found.verdict === 'sidecar')
      await parts.note(file.item, { trouble, whole, etag })
      yield { file, verdict: found?.verdict ?? 'whole', reason: found?.reason ?? null, read }
      doubts = doubt === null ? 0 : doubts + 1
      if (doubt !== null && doubts === DOUBTS_ALLOWED) throw doubt
    }
    page = await parts.next(page.at(-1)?.item ?? 0)
  }
}

interface Look {
  found: { verdict: SecondTrouble; reason: string } | null
  etag: string | null
  read: boolean
  /** What may be an outage after all, if others meet it too. */
  doubt: AppError | null
}

/** @returns null for what was brought back meanwhile, and needs no copy */
async function lookTwice(
  parts: VerifySecondParts,
  file: DueFile,
  signal: AbortSignal,
): Promise<Look | null> {
  const first = await lookAt(parts, file, signal)
  if (first.found === null) return first
  const now = await parts.again(file.item)
  return now === null ? null : lookAt(parts, { ...now, read: file.read }, signal)
}

async function lookAt(parts: VerifySecondParts, file: DueFile, signal: AbortSignal): Promise<Look> {
  const { bucket, log, pace } = parts
  const { copy, item } = file
  const bad = (verdict: SecondTrouble, reason: string, doubt: AppError | null = null): Look => ({
    found: { verdict, reason },
    etag: null,
    read: false,
    doubt,
  })
  if (bucket === null || copy.bucketId !== bucket.id)
    return bad('elsewhere', `it is in ${copy.bucketId}, which SECOND_* does not name`)
  try {
    const facts = await bucket.head(copy.key, signal)
    if (facts === null) return bad('missing', 'there is no such object')
    if (facts.sizeBytes !== copy.sizeBytes)
      return bad('differs', `it has ${facts.sizeBytes} bytes, archived were ${copy.sizeBytes}`)
    // An ETag may have changed with a copy of the bucket, a SHA-256 cannot.
    const read = file.read || facts.etag !== copy.etag
    if (read) {
      const sha256 = await hashVersion({ bucket, log }, { item, key: copy.key, facts }, signal)
      await pace(facts.sizeBytes)
      if (sha256 !== copy.sha256)
        return bad('differs', `its SHA-256 is ${sha256}, not ${copy.sha256}`)
    }
    const found = await sidecarTrouble({ bucket, log }, file, signal)
    return { found, etag: facts.etag, read, doubt: null }
  } catch (error) {
    const thrown = toAppError(error)
    const reason = await ofOneKey(bucket, copy.key, thrown)
    if (reason.retry === 'outage' || ['CANCELLED', 'INTERNAL'].includes(reason.code)) throw reason
    const verdict = reason.code === 'OBJECT_MISSING' ? 'missing' : 'unreadable'
    return bad(verdict, reason.message, reason === thrown ? null : thrown)
  }
}

async function sidecarTrouble(
  parts: { bucket: Bucket } & Pick<VerifySecondParts, 'log'>,
  { item, archivePath, mediaId, copy }: MovedFile,
  signal: AbortSignal,
): Promise<Look['found']> {
  const key = sidecarPathOf(copy.key)
  const facts = await parts.bucket.head(key, signal)
  if (facts === null) return { verdict: 'sidecar', reason: 'its sidecar is not there' }
  // What is too large for a sidecar is none.
  const isSmall = facts.sizeBytes <= SIDECAR_MAX_BYTES
  const text = isSmall ? await readObject(parts, { item, key, facts }, signal) : Buffer.alloc(0)
  try {
    const sidecar = parseSidecar(text)
    const isOfThis =
      sidecar.media_id === mediaId &&
      sidecar.archive_path === archivePath &&
      sidecar.sha256 === copy.sha256
    return isOfThis ? null : { verdict: 'sidecar', reason: 'its sidecar is of another file' }
  } catch (error) {
    if (!isAppError(error, 'SIDECAR_INVALID')) throw error
    return { verdict: 'sidecar', reason: error.message }
  }
}
