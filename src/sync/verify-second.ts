import type { MovedFile } from '../db/second-files.ts'
import { isAppError, toAppError } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import { hashVersion } from './download.ts'
import { readObject, type SecondParts } from './second-copy.ts'

/** What can be wrong with a file in the second bucket; `elsewhere`: it is in another one than the configured. */
export type SecondTrouble = 'missing' | 'differs' | 'sidecar' | 'elsewhere' | 'unreadable'

export interface SecondVerified {
  file: MovedFile
  verdict: 'whole' | SecondTrouble
  reason: string | null
}

export interface VerifySecondParts extends Pick<SecondParts, 'bucket' | 'log'> {
  /** Moved files in the order of their items; none ends it. */
  next: (after: number) => Promise<MovedFile[]>
  /** Null for one that is not moved any more. */
  again: (item: number) => Promise<MovedFile | null>
  note: (file: { item: number; etag: string }) => Promise<void>
}

/**
 * Reads what was moved again from the second bucket, file and sidecar, and compares it with what was archived. Changes
 * nothing but when each was read.
 *
 * @throws BUCKET_* (the bucket itself), DB_*, CANCELLED
 */
export async function* verifySecond(
  parts: VerifySecondParts,
  signal: AbortSignal,
): AsyncGenerator<SecondVerified> {
  for (let page = await parts.next(0); page.length > 0; ) {
    for (const file of page) {
      signal.throwIfAborted()
      const found = await lookAt(parts, file, signal)
      // What was brought back while it was read needs no copy.
      if (found !== null && (await parts.again(file.item)) === null) continue
      yield found === null
        ? { file, verdict: 'whole', reason: null }
        : { file, verdict: found.verdict, reason: found.reason }
    }
    page = await parts.next(page.at(-1)?.item ?? 0)
  }
}

async function lookAt(
  parts: VerifySecondParts,
  file: MovedFile,
  signal: AbortSignal,
): Promise<{ verdict: SecondTrouble; reason: string } | null> {
  const { bucket, note } = parts
  const { copy, item } = file
  if (copy.bucketId !== bucket.id)
    return { verdict: 'elsewhere', reason: `it is in ${copy.bucketId}` }
  try {
    const facts = await bucket.head(copy.key, signal)
    if (facts === null) return { verdict: 'missing', reason: 'there is no such object' }
    if (facts.sizeBytes !== copy.sizeBytes)
      return {
        verdict: 'differs',
        reason: `it has ${facts.sizeBytes} bytes, archived were ${copy.sizeBytes}`,
      }
    const sha256 = await hashVersion(parts, { item, key: copy.key, facts }, signal)
    if (sha256 !== copy.sha256)
      return { verdict: 'differs', reason: `its SHA-256 is ${sha256}, not ${copy.sha256}` }
    await note({ item, etag: facts.etag })
    return await sidecarTrouble(parts, file, signal)
  } catch (error) {
    const reason = toAppError(error)
    if (reason.retry === 'outage' || ['CANCELLED', 'INTERNAL'].includes(reason.code)) throw reason
    const isGone = reason.code === 'OBJECT_MISSING'
    return { verdict: isGone ? 'missing' : 'unreadable', reason: reason.message }
  }
}

async function sidecarTrouble(
  parts: VerifySecondParts,
  { item, archivePath, mediaId, copy }: MovedFile,
  signal: AbortSignal,
): Promise<{ verdict: SecondTrouble; reason: string } | null> {
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
