import { AppError, isAppError } from '../errors.ts'
import type { Item, MediaRow, Proof, Source } from '../media.ts'
import type { Download, ObjectFacts } from '../storage/bucket.ts'
import type { NewFile } from '../storage/disk.ts'
import type { Parts } from './parts.ts'
import { createDigests, type ProofPlan, planProof } from './proof.ts'
import type { Reservation, Space } from './space.ts'
import { TEMPORARY_FOLDER } from './volume.ts'

/** The bytes of one object version, proven, in a temporary file that is neither synced nor closed yet. */
export interface Downloaded {
  part: NewFile
  source: Source
  /** Hex. */
  sha256: string
  proof: Proof
}

type DownloadParts = Pick<Parts, 'disk' | 'bucket' | 'policy' | 'log'> & { space: Space }

/** How much later than the approval an object may be and still count as what was approved. */
const APPROVAL_TOLERANCE_MS = 60_000
const TRIES = 3

/** The temporary name says whose it is; a file of another epoch is never written to. */
export function partPath(item: Pick<Item, 'id' | 'epoch'>): string {
  return `${TEMPORARY_FOLDER}/${item.id}.${item.epoch}.part`
}

/**
 * Fetches the item's object as it is now and proves that the bytes arrived whole. A broken transfer starts again from
 * zero, at most three times.
 *
 * @throws OBJECT_MISSING, CHANGED_AFTER_APPROVAL, SIZE_MISMATCH, TRANSFER_*, BUCKET_*, DISK_*
 */
export async function download(
  parts: DownloadParts,
  item: Item,
  signal: AbortSignal,
): Promise<Downloaded> {
  for (let tries = 1; ; tries++) {
    try {
      return await downloadOnce(parts, item, signal)
    } catch (error) {
      if (!mayTryAgain(error) || tries === TRIES) throw error
      parts.log.warn({ item: item.id, error }, 'transfer broke off, starting again')
      await pause(100 * 4 ** tries, signal)
    }
  }
}

async function downloadOnce(
  parts: DownloadParts,
  item: Item,
  signal: AbortSignal,
): Promise<Downloaded> {
  const { bucket, space } = parts
  const key = item.media.objectKey
  const facts = await bucket.head(key, signal)
  if (facts === null)
    throw new AppError('OBJECT_MISSING', `bucket ${bucket.name} has no object "${key}"`, {
      hint: 'upload it again, or close the media row',
    })
  judgeFacts(parts, item, facts)
  const reservation = await space.reserve(facts.sizeBytes)
  try {
    const plan = await planProof(bucket, key, { facts, signal })
    const proven = await fetchProven(parts, item, { facts, plan, signal, reservation })
    return { ...proven, source: toSource(bucket.name, key, facts) }
  } finally {
    reservation.end()
  }
}

/** True when the object was written so long after the approval that it may not be what was approved. */
export function isNewerThanApproval(media: MediaRow, facts: ObjectFacts): boolean {
  return facts.lastModified.getTime() - media.approvedAt.getTime() > APPROVAL_TOLERANCE_MS
}

function judgeFacts({ policy, log }: DownloadParts, { id, media }: Item, facts: ObjectFacts): void {
  if (isNewerThanApproval(media, facts) && policy.changedAfterApproval === 'hold')
    throw new AppError(
      'CHANGED_AFTER_APPROVAL',
      `the object was written at ${facts.lastModified.toISOString()}, after its approval at ${media.approvedAt.toISOString()}`,
      {
        hint: 'look at the new object and approve it again; set CHANGED_AFTER_APPROVAL=accept if your backend approves before the upload',
      },
    )
  if (media.declaredBytes === null || media.declaredBytes === facts.sizeBytes) return
  const sizes = { declared: media.declaredBytes, found: facts.sizeBytes }
  if (policy.sizeMismatch === 'reject')
    throw new AppError(
      'SIZE_MISMATCH',
      `the media row says ${sizes.declared} bytes, the object has ${sizes.found}`,
      { hint: 'correct file_size or upload the right object, then approve again' },
    )
  log.warn({ item: id, ...sizes }, 'the media row and the object disagree about the size')
}

interface Fetch {
  facts: ObjectFacts
  plan: ProofPlan
  signal: AbortSignal
  reservation: Reservation | null
}

/**
 * One read suffices where the store gave a digest that agrees. Without one, or against one that may be opaque (KMS),
 * the object is read twice and both reads must be equal: no source may ever be deleted on less.
 */
async function fetchProven(
  parts: DownloadParts,
  item: Item,
  fetch: Fetch,
): Promise<{ part: NewFile; sha256: string; proof: Proof }> {
  const { plan } = fetch
  const first = await fetchToFile(parts, item, fetch)
  try {
    if (plan !== null && first.value === plan.expected)
      return { ...first, proof: { kind: plan.kind, value: plan.expected } }
    // A CRC-64/NVME is of these very bytes; an ETag may be a hash of something else.
    const same =
      plan?.kind !== 'crc64nvme' && (await fetchOnly(parts, item, fetch)) === first.sha256
    if (!same)
      throw new AppError(
        'TRANSFER_CORRUPT',
        `"${item.media.objectKey}" did not arrive as the store has it`,
        { hint: 'the network, a proxy or the store corrupts bytes; it is tried again' },
      )
    return {
      ...first,
      proof: { kind: plan?.kind === 'md5' ? 'opaque-etag' : 'read-twice', value: null },
    }
  } catch (error) {
    await discardPart(parts, first.part)
    throw error
  }
}

async function fetchToFile(
  parts: Pick<Parts, 'disk' | 'bucket'>,
  item: Item,
  { facts, plan, signal, reservation }: Fetch,
) {
  const { disk, bucket } = parts
  const path = partPath(item)
  await disk.unlink(path)
  const { body, ...head } = await bucket.get(item.media.objectKey, { ifMatch: facts.etag, signal })
  let part: NewFile | null = null
  try {
    assertLength(head.sizeBytes, facts)
    part = await disk.create(path)
    const digests = await createDigests(plan)
    for await (const chunk of body as AsyncIterable<Buffer>) {
      digests.update(chunk)
      await part.write(chunk)
      reservation?.wrote(chunk.length)
    }
    assertLength(part.sizeBytes, facts)
    return { part, ...digests.finish() }
  } catch (error) {
    body.destroy()
    if (part !== null) await discardPart(parts, part)
    throw error
  }
}

/** Fetches one known version into the item's temporary, for a caller that knows the hash it must have. */
export function fetchVersion(
  parts: Pick<Parts, 'disk' | 'bucket'>,
  { item, facts, signal }: { item: Item; facts: ObjectFacts; signal: AbortSignal },
): Promise<{ part: NewFile; sha256: string }> {
  return fetchToFile(parts, item, { facts, plan: null, signal, reservation: null })
}

async function fetchOnly(
  { bucket }: DownloadParts,
  item: Item,
  { facts, signal }: Fetch,
): Promise<string> {
  const second: Download = await bucket.get(item.media.objectKey, { ifMatch: facts.etag, signal })
  try {
    const digests = await createDigests(null)
    let sizeBytes = 0
    for await (const chunk of second.body as AsyncIterable<Buffer>) {
      digests.update(chunk)
      sizeBytes += chunk.length
    }
    assertLength(sizeBytes, facts)
    return digests.finish().sha256
  } finally {
    second.body.destroy()
  }
}

/** Closes and removes a temporary that nobody will publish. */
export async function discardPart({ disk }: Pick<Parts, 'disk'>, part: NewFile): Promise<void> {
  await part.close()
  await disk.unlink(part.path)
}

function assertLength(sizeBytes: number, facts: ObjectFacts): void {
  if (sizeBytes !== facts.sizeBytes)
    throw new AppError('TRANSFER_BROKEN', `${sizeBytes} of ${facts.sizeBytes} bytes arrived`)
}

function toSource(bucket: string, key: string, facts: ObjectFacts): Source {
  const { etag, versionId, lastModified, sizeBytes } = facts
  return { bucket, key, etag, versionId, lastModified, sizeBytes }
}

function mayTryAgain(error: unknown): boolean {
  return isAppError(
    error,
    'TRANSFER_BROKEN',
    'TRANSFER_STALLED',
    'OBJECT_CHANGED',
    'BUCKET_UNAVAILABLE',
    'BUCKET_THROTTLED',
  )
}

/** Waits, or throws the signal's reason. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
}
