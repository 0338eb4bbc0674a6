import type { Items } from '../db/items.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Item, MediaRow, Proof, Source } from '../media.ts'
import type { ObjectFacts } from '../storage/bucket.ts'
import type { NewFile } from '../storage/new-file.ts'
import { pause } from '../waiting.ts'
import { type Landed, openLanding } from './landing.ts'
import { inTurn } from './large.ts'
import type { Parts } from './parts.ts'
import { persistently } from './persistently.ts'
import { type ProofPlan, planProof } from './proof.ts'
import { copyLeftover } from './resume.ts'
import type { Reservation, Space } from './space.ts'
import { discardPart, letGo, partPath, sweepTemporaries, versionMark } from './temporaries.ts'
import { receive } from './transfer.ts'

/** The bytes of one object version, proven, in a temporary file that is neither synced nor closed yet. */
export interface Downloaded {
  part: NewFile
  source: Source
  /** Hex. */
  sha256: string
  proof: Proof
  /** What the disk holds was compared with what was hashed, not before this moment (ReadBacks.now); null: it was not. */
  readBackSince: number | null
}

type FetchParts = Pick<Parts, 'disk' | 'bucket' | 'log'>
type DownloadParts = FetchParts &
  Pick<Parts, 'policy' | 'readBacks'> & {
    items: Pick<Items, 'current'>
    space: Pick<Space, 'reserve'>
  }

/** How much later than the approval an object may be and still count as what was approved. */
const APPROVAL_TOLERANCE_MS = 60_000
/** How often an object may be replaced while it is fetched before it has to wait for a later run. */
const VERSIONS = 3
const REPLACED_PAUSE_MS = 400

/**
 * Fetches the item's object as it is now and proves that the bytes arrived whole. What broke off goes on where it ended,
 * within this run and from what an earlier one left; an object that was replaced meanwhile is begun anew.
 *
 * @throws OBJECT_MISSING, CHANGED_AFTER_APPROVAL, SIZE_MISMATCH, TRANSFER_*, BUCKET_*, DISK_*
 */
export async function download(
  parts: DownloadParts,
  item: Item,
  signal: AbortSignal,
): Promise<Downloaded> {
  for (let versions = 1; ; versions++) {
    try {
      return await downloadOnce(parts, item, signal)
    } catch (error) {
      // An interrupted download is worth less than the one that has the disk to itself.
      if (isAppError(error, 'DISK_FULL', 'DISK_LOW') && (await makeRoom(parts)) > 0) continue
      if (!isAppError(error, 'OBJECT_CHANGED') || versions >= VERSIONS) throw error
      parts.log.warn({ item: item.id, error }, 'the object was replaced, starting again')
      await pause(REPLACED_PAUSE_MS * versions, signal)
    }
  }
}

/** @returns how many temporaries are gone */
function makeRoom(parts: DownloadParts): Promise<number> {
  // Without an answer from the database nothing goes, and the full disk stays what is to be told.
  return sweepTemporaries(parts, { spaceIsShort: true }).catch(() => 0)
}

async function downloadOnce(
  parts: DownloadParts,
  item: Item,
  signal: AbortSignal,
): Promise<Downloaded> {
  const { bucket, space } = parts
  const key = item.media.objectKey
  const patient = { item: item.id, signal }
  const facts = await persistently(parts, patient, () => bucket.head(key, signal))
  if (facts === null)
    throw new AppError('OBJECT_MISSING', `bucket ${bucket.name} has no object "${key}"`, {
      hint: 'upload it again, or close the media row',
    })
  judgeFacts(parts, item, facts)
  const reservation = await space.reserve(facts.sizeBytes)
  try {
    const plan = await persistently(parts, patient, () => planProof(bucket, key, { facts, signal }))
    const proven = await inTurn(facts.sizeBytes, signal, () =>
      fetchProven(parts, item, {
        facts,
        plan,
        signal,
        reservation,
        beganAt: parts.readBacks?.now() ?? null,
      }),
    )
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
  /** Null: what comes is not read back. */
  beganAt: number | null
}

interface Fetched extends Landed {
  part: NewFile
  /** Not the bytes of one answer alone. */
  inPieces: boolean
}

/**
 * Pieces that do not make up the object are fetched once more as a whole before anything is called corrupt: after a power
 * cut the prefix on the disk may be anything.
 */
async function fetchProven(
  parts: DownloadParts,
  item: Item,
  fetch: Fetch,
): Promise<Omit<Downloaded, 'source'>> {
  for (const resume of [true, false]) {
    const { part, ...fetched } = await fetchToFile(parts, item, {
      ...fetch,
      resume,
      inOne: !resume,
    })
    const proof = await prove(parts, item, { ...fetch, fetched }).catch(async (error: unknown) => {
      await letGo(parts, part, error)
      throw error
    })
    const { sha256, isReadBack } = fetched
    if (proof !== null)
      return { part, sha256, proof, readBackSince: isReadBack ? fetch.beganAt : null }
    await discardPart(parts, part)
    fetch.reservation?.discarded(fetch.facts.sizeBytes)
    if (!fetched.inPieces) break
    if (resume) parts.log.warn({ item: item.id }, 'the pieces do not make up the object')
  }
  throw new AppError(
    'TRANSFER_CORRUPT',
    `"${item.media.objectKey}" did not arrive as the store has it`,
    { hint: 'the network, a proxy or the store corrupts bytes; it is tried again' },
  )
}

/**
 * One read suffices where the store gave a digest that agrees. Without one, or against one that may be opaque (KMS),
 * the object is read twice and both reads must be equal: no source may ever be deleted on less.
 *
 * @returns null when the bytes are not the store's
 */
async function prove(
  parts: DownloadParts,
  item: Item,
  { fetched, ...fetch }: Fetch & { fetched: Omit<Fetched, 'part'> },
): Promise<Proof | null> {
  const { plan } = fetch
  if (plan !== null && fetched.value === plan.expected)
    return { kind: plan.kind, value: plan.expected }
  // A CRC-64/NVME is of these very bytes; an ETag may be a hash of something else.
  if (plan?.kind === 'crc64nvme') return null
  const wanted = { item: item.id, key: item.media.objectKey, facts: fetch.facts }
  if ((await hashVersion(parts, wanted, fetch.signal)) !== fetched.sha256) return null
  return { kind: plan?.kind === 'md5' ? 'opaque-etag' : 'read-twice', value: null }
}

async function fetchToFile(
  parts: FetchParts,
  item: Item,
  fetch: Fetch & { resume: boolean; inOne: boolean },
): Promise<Fetched> {
  const { facts, plan, signal, reservation, beganAt, resume, inOne } = fetch
  const { disk, bucket } = parts
  const key = item.media.objectKey
  const version = versionMark(bucket.id, { key, ...facts })
  const path = partPath(item, version)
  await disk.unlink(path)
  const part = await disk.create(path, facts.sizeBytes)
  const landing = await openLanding(part, {
    plan,
    sizeBytes: facts.sizeBytes,
    wrote: async (bytes) => reservation?.wrote(bytes),
    readsBack: beganAt !== null,
  }).catch(async (error: unknown) => {
    await letGo(parts, part, error)
    throw error
  })
  try {
    const stillWanted = async () => {
      if ((await disk.stat(path)) === null)
        throw new AppError('FILE_MISSING', `${path} is gone: its archive, or its lease`)
    }
    const known = { version, sizeBytes: facts.sizeBytes, signal }
    const from = resume ? await copyLeftover(parts, item, known, landing) : 0
    const wanted = { item: item.id, key, facts, from, signal, stillWanted }
    const pieces = await receive(parts, wanted, landing, { inOne })
    const landed = await landing.finish()
    if (part.sizeBytes !== facts.sizeBytes)
      throw new AppError('TRANSFER_CORRUPT', `${path} has ${part.sizeBytes} bytes`)
    return { part, ...landed, inPieces: from > 0 || pieces > 1 }
  } catch (error) {
    await landing.abandon()
    await letGo(parts, part, error)
    throw error
  }
}

/** Fetches one known version into the item's temporary, for a caller that knows the hash it must have. */
export function fetchVersion(
  parts: FetchParts,
  item: Item,
  { facts, signal }: { facts: ObjectFacts; signal: AbortSignal },
): Promise<{ part: NewFile; sha256: string }> {
  return fetchToFile(parts, item, {
    facts,
    plan: null,
    signal,
    reservation: null,
    beganAt: null,
    resume: false,
    inOne: false,
  })
}

/**
 * Reads one known version from the bucket and writes it nowhere.
 *
 * @returns the SHA-256 (hex) of what the bucket sends now
 */
export async function hashVersion(
  parts: Pick<FetchParts, 'bucket' | 'log'>,
  { item, key, facts }: { item: number; key: string; facts: ObjectFacts },
  signal: AbortSignal,
): Promise<string> {
  const landing = await openLanding(null, { plan: null, sizeBytes: facts.sizeBytes })
  try {
    await receive(parts, { item, key, facts, from: 0, signal }, landing)
    return (await landing.finish()).sha256
  } catch (error) {
    await landing.abandon()
    throw error
  }
}

function toSource(bucket: string, key: string, facts: ObjectFacts): Source {
  const { etag, versionId, lastModified, sizeBytes } = facts
  return { bucket, key, etag, versionId, lastModified, sizeBytes }
}
