import { createHash } from 'node:crypto'
import type { ArchivedFile } from '../db/archived.ts'
import { isAppError, toAppError } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import { pauseUnlessStopped } from '../waiting.ts'
import type { Parts } from './parts.ts'

/** What can be wrong with an archived file. */
export type Trouble =
  | 'missing'
  /** Other bytes than were archived. */
  | 'damaged'
  /** The disk does not give it. */
  | 'unreadable'
  /** Its sidecar is missing, torn, or of another file. */
  | 'sidecar'

/** `busy`: a worker has it in hand, so that nothing can be said of it now. */
export interface Verified {
  file: ArchivedFile
  verdict: 'whole' | 'busy' | Trouble
  /** Null when there is nothing to tell. */
  reason: string | null
}

export interface VerifyParts {
  disk: Pick<Parts['disk'], 'chunks' | 'read'>
  volume: Pick<Parts['volume'], 'verify'>
  /** The next files to look at; none ends it. */
  next: () => Promise<ArchivedFile[]>
  /** One file as the database tells it now. */
  again: (item: number) => Promise<ArchivedFile | null>
  /** Waits as long as reading so many bytes should have taken. */
  pace: (bytes: number) => Promise<void>
}

/**
 * Reads archived files again and compares them and their sidecars with what the database says. Changes nothing.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN (asked for before each batch and each bad word, so that a disk which went away is
 *   not taken for an archive of missing files), DB_*, CANCELLED
 */
export async function* verify(parts: VerifyParts, signal: AbortSignal): AsyncGenerator<Verified> {
  for (;;) {
    await parts.volume.verify()
    const files = await parts.next()
    if (files.length === 0) return
    for (const file of files) {
      signal.throwIfAborted()
      const verified = await verifyFile(parts, file, signal)
      if (verified !== null) yield verified
    }
  }
}

/** What is left of a rate while somebody else needs the disk. */
const YIELDING_SHARE = 0.1

/**
 * Makes the pace of a reader that takes no more than `rate` bytes a second; what it did not take in the last second is lost.
 *
 * @param rate null for as fast as it goes
 * @param isBusy true while the disk is needed for something more urgent
 */
export function createPace(
  rate: number | null,
  signal: AbortSignal,
  isBusy: () => boolean = () => false,
): VerifyParts['pace'] {
  let freeAt = performance.now()
  return async (bytes) => {
    if (rate === null) return
    const now = isBusy() ? rate * YIELDING_SHARE : rate
    freeAt = Math.max(freeAt, performance.now() - 1_000) + (bytes * 1_000) / now
    const waitMs = freeAt - performance.now()
    // A stop is noticed by the reading that goes on.
    if (waitMs > 0) await pauseUnlessStopped(waitMs, signal)
  }
}

/** What the database keeps of it; null when nothing is wrong. */
export function noteOf({ verdict, reason }: Verified): string | null {
  return verdict === 'whole' ? null : `${verdict}: ${reason}`
}

function verifyFile(
  parts: VerifyParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<Verified | null> {
  return lookTwice(parts, file, (one) => lookAt(parts, one, signal))
}

/** What is wrong with a file, and why. */
export interface Found {
  verdict: Trouble
  reason: string
}

/**
 * Says of a file what is wrong with it only once it was seen twice, and not while a worker has it in hand.
 *
 * @returns null when the file belongs in the archive no more
 * @throws VOLUME_*
 */
export async function lookTwice(
  parts: Pick<VerifyParts, 'again' | 'volume'>,
  file: ArchivedFile,
  look: (file: ArchivedFile) => Promise<Found | null>,
): Promise<Verified | null> {
  const first = await look(file)
  if (first === null) return { file, verdict: 'whole', reason: null }
  // A release that heals it may have been between two names.
  const now = await parts.again(file.item)
  if (now === null) return null
  if (now.leased) return { file: now, verdict: 'busy', reason: 'a worker has it in hand' }
  const second = await look(now)
  if (second === null) return { file: now, verdict: 'whole', reason: null }
  await parts.volume.verify()
  return { file: now, ...second }
}

async function lookAt(
  { disk, pace }: VerifyParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<Found | null> {
  try {
    const hash = createHash('sha256')
    let sizeBytes = 0
    for await (const chunk of disk.chunks(file.archivePath, signal)) {
      hash.update(chunk)
      sizeBytes += chunk.length
      await pace(chunk.length)
    }
    const sha256 = hash.digest('hex')
    if (sizeBytes !== file.sizeBytes)
      return {
        verdict: 'damaged',
        reason: `it has ${sizeBytes} bytes, archived were ${file.sizeBytes}`,
      }
    if (sha256 !== file.sha256)
      return {
        verdict: 'damaged',
        reason: `its bytes are not those that were archived (SHA-256 ${sha256}, not ${file.sha256})`,
      }
    return await sidecarTrouble(disk, file)
  } catch (error) {
    return troubleOf(error)
  }
}

/** What a failed look at a file means. @throws CANCELLED */
export function troubleOf(error: unknown): Found {
  if (isAppError(error, 'CANCELLED')) throw error
  const reason = toAppError(error)
  if (reason.code === 'FILE_MISSING') return { verdict: 'missing', reason: 'there is no such file' }
  // A folder, a link or a pipe in its place is no file either.
  const isOther = reason.code === 'PATH_UNSAFE'
  return { verdict: isOther ? 'missing' : 'unreadable', reason: reason.message }
}

/** @returns null when the sidecar is this file's and whole */
export async function sidecarTrouble(
  disk: Pick<VerifyParts['disk'], 'read'>,
  file: ArchivedFile,
): Promise<Found | null> {
  try {
    const text = await disk.read(sidecarPathOf(file.archivePath), SIDECAR_MAX_BYTES)
    if (text === null) return { verdict: 'sidecar', reason: 'its sidecar is not there' }
    const sidecar = parseSidecar(text)
    const isOfThis =
      sidecar.media_id === file.mediaId &&
      sidecar.archive_path === file.archivePath &&
      sidecar.sha256 === file.sha256 &&
      sidecar.bytes === file.sizeBytes
    return isOfThis ? null : { verdict: 'sidecar', reason: 'its sidecar is of another file' }
  } catch (error) {
    // A link in its place, or too large for one, says nothing of the file.
    if (!isAppError(error, 'SIDECAR_INVALID', 'PATH_UNSAFE')) throw error
    return { verdict: 'sidecar', reason: error.message }
  }
}
