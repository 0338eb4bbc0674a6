import type { ArchivedFile } from '../db/archived.ts'
import { isAppError, toAppError } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
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

export interface VerifyParts extends Pick<Parts, 'disk'> {
  volume: Pick<Parts['volume'], 'verify'>
  files: (page: { after: number; limit: number }) => Promise<ArchivedFile[]>
  /** One file as the database tells it now. */
  again: (item: number) => Promise<ArchivedFile | null>
  /** Called after each file that was read, to take it slowly. */
  pause: (file: ArchivedFile) => Promise<void>
}

const PAGE = 200

/**
 * Reads every archived file again and compares it and its sidecar with what the database says. Changes nothing.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN (asked for before each page and each bad word, so that a disk which went away is
 *   not taken for an archive of missing files), DB_*, CANCELLED
 */
export async function* verify(parts: VerifyParts, signal: AbortSignal): AsyncGenerator<Verified> {
  for (let after = 0; ; ) {
    await parts.volume.verify()
    const page = await parts.files({ after, limit: PAGE })
    for (const file of page) {
      signal.throwIfAborted()
      const verified = await verifyFile(parts, file, signal)
      if (verified !== null) yield verified
      await parts.pause(file)
    }
    const last = page.at(-1)
    if (last === undefined) return
    after = last.item
  }
}

/** @returns null when the file belongs in the archive no more */
async function verifyFile(
  parts: VerifyParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<Verified | null> {
  const first = await lookAt(parts, file, signal)
  if (first === null) return { file, verdict: 'whole', reason: null }
  // A release that heals it may have been between two names.
  const now = await parts.again(file.item)
  if (now === null) return null
  if (now.leased) return { file: now, verdict: 'busy', reason: 'a worker has it in hand' }
  const second = await lookAt(parts, now, signal)
  if (second === null) return { file: now, verdict: 'whole', reason: null }
  await parts.volume.verify()
  return { file: now, ...second }
}

async function lookAt(
  { disk }: VerifyParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<{ verdict: Trouble; reason: string } | null> {
  try {
    const { sha256, sizeBytes } = await disk.hash(file.archivePath, signal)
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
    if (isAppError(error, 'CANCELLED')) throw error
    const reason = toAppError(error)
    if (reason.code === 'FILE_MISSING')
      return { verdict: 'missing', reason: 'there is no such file' }
    // A folder, a link or a pipe in its place is no file either.
    const isOther = reason.code === 'PATH_UNSAFE'
    return { verdict: isOther ? 'missing' : 'unreadable', reason: reason.message }
  }
}

async function sidecarTrouble(
  disk: VerifyParts['disk'],
  file: ArchivedFile,
): Promise<{ verdict: Trouble; reason: string } | null> {
  const text = await disk.read(sidecarPathOf(file.archivePath), SIDECAR_MAX_BYTES)
  if (text === null) return { verdict: 'sidecar', reason: 'its sidecar is not there' }
  try {
    const sidecar = parseSidecar(text)
    const isOfThis =
      sidecar.media_id === file.mediaId &&
      sidecar.archive_path === file.archivePath &&
      sidecar.sha256 === file.sha256 &&
      sidecar.bytes === file.sizeBytes
    return isOfThis ? null : { verdict: 'sidecar', reason: 'its sidecar is of another file' }
  } catch (error) {
    return { verdict: 'sidecar', reason: toAppError(error).message }
  }
}
