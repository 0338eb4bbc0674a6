import { PRIVATE_FOLDER } from '../archive-path.ts'
import type { PathOwner } from '../db/fsck.ts'
import type { Inserted, RebuiltItem } from '../db/rebuild.ts'
import { AppError, isAppError, toAppError } from '../errors.ts'
import {
  adoptedFileOf,
  describedMedia,
  parseSidecar,
  SIDECAR_MAX_BYTES,
  type Sidecar,
  sidecarPathOf,
  sourceOf,
} from '../sidecar.ts'
import type { Bucket } from '../storage/bucket.ts'
import type { Disk } from '../storage/disk.ts'
import { type Closed, LOST_AND_FOUND, openListed, walkTree } from '../storage/tree.ts'
import { MASS_CHANGE_LIMIT } from './mass-change.ts'
import type { Volume } from './volume.ts'

export interface RebuildParts {
  disk: Pick<Disk, 'root'>
  volume: Pick<Volume, 'verify'>
  /** Asked what it holds; null where none is configured. */
  bucket: Pick<Bucket, 'name' | 'head'> | null
  owners: (paths: readonly string[]) => Promise<Map<string, PathOwner>>
  /** As `<media id> <ETag>`. */
  released: (mediaIds: readonly number[]) => Promise<Set<string>>
  insert: (items: readonly RebuiltItem[]) => Promise<Inserted[]>
  /** Many sources that are all gone are no reason to stop. */
  confirmed: boolean
  /** Told how many sidecars were settled, and how much of the tree lies behind, from 0 to 1. */
  settled: (count: number, done: number) => void
}

export const rebuildOutcomes = [
  'archived',
  'released',
  'source_differs',
  'kept',
  'known',
  'fileless',
  'by_hand',
  'refused',
] as const
/**
 * The first four are states of new items. `known`: the path has an item. `fileless`: a sidecar of ours
 * whose file is not here; it was moved to a second bucket, or is lost, and nothing is made of it. `by_hand`: adopted without a database, and still
 * none of its business. `refused`: the sidecar is no good, or not this file's, or what lies there could not be looked at.
 */
export type RebuildOutcome = (typeof rebuildOutcomes)[number]

export interface Rebuilt {
  archivePath: string
  outcome: RebuildOutcome
  /** Its media row was approved, and says archived now. */
  marked: boolean
  /** Why it was refused; else null. */
  reason: string | null
}

const BATCH = 2_000
/** With one statement, whose time is limited: a busy database may take 50 ms for each item with its audit row. */
const INSERTS = 200
const READS = 16
const HEADS = 16

/**
 * Makes the items anew that a lost database had, from the sidecars alone; media are not read. A run that was cut short is
 * started again: what has its item is not read twice. The next sync, scrub and release treat these items as any other.
 *
 * @throws MASS_CHANGE (of many sources none is in the bucket: nothing was made of them), VOLUME_*, BUCKET_*, DB_*,
 *   DISK_SICK, CANCELLED
 */
export async function* rebuild(parts: RebuildParts, signal: AbortSignal): AsyncGenerator<Rebuilt> {
  const { volume } = parts
  const prepare = createPreparer(parts, signal)
  // While the database takes one batch in, the next one is read.
  let inserting: Promise<Rebuilt[]> = Promise.resolve([])
  for await (const { paths, bare, closed, done } of batches(parts, signal)) {
    yield* closed.map(({ path, reason }) => told(path, 'refused', reason))
    yield* await fileless(parts, bare)
    const prepared = await prepare(paths)
    yield* await inserting
    await volume.verify()
    inserting = insertPrepared(parts, prepared)
    // Whoever awaits it hears of it.
    inserting.catch(() => {})
    parts.settled(paths.length, done)
  }
  yield* await inserting
}

interface Batch {
  /** Files beside which there is a sidecar. */
  paths: string[]
  /** Where a file would lie that a sidecar may describe. */
  bare: string[]
  closed: Closed[]
  done: number
}

/** What there is in the tree, much at a time. */
async function* batches(
  { disk }: Pick<RebuildParts, 'disk'>,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  let paths: string[] = []
  let bare: string[] = []
  const closed: Closed[] = []
  for await (const folder of walkTree(disk.root, { start: '', skip: [PRIVATE_FOLDER], signal })) {
    closed.push(...folder.closed.filter(({ path }) => path !== LOST_AND_FOUND))
    const here = new Set(folder.files)
    const at = (name: string) => (folder.path === '' ? name : `${folder.path}/${name}`)
    paths.push(...folder.files.filter((name) => here.has(sidecarPathOf(name))).map(at))
    const described = folder.files.flatMap((name) => /^(.+)\.json$/.exec(name)?.[1] ?? [])
    bare.push(...described.filter((name) => !here.has(name)).map(at))
    while (paths.length >= BATCH || bare.length >= BATCH) {
      const batch = { paths: paths.slice(0, BATCH), bare: bare.slice(0, BATCH) }
      yield { ...batch, closed: closed.splice(0), done: folder.done }
      paths = paths.slice(BATCH)
      bare = bare.slice(BATCH)
    }
  }
  yield { paths, bare, closed, done: 1 }
}

async function fileless(
  { disk, owners }: Pick<RebuildParts, 'disk' | 'owners'>,
  bare: readonly string[],
): Promise<Rebuilt[]> {
  const known = await owners(bare)
  const listed = openListed(disk.root)
  const read = await inLanes(
    bare.filter((path) => !known.has(path)),
    READS,
    async (path) => {
      const text = await listed.read(sidecarPathOf(path), SIDECAR_MAX_BYTES).catch(() => null)
      return text !== null && isSidecarOf(text, path) ? [told(path, 'fileless')] : []
    },
  )
  return read.flat()
}

function isSidecarOf(text: Uint8Array, path: string): boolean {
  try {
    const { archive_path: named, source } = parseSidecar(text)
    return named === path && source !== null
  } catch (error) {
    if (isAppError(error, 'SIDECAR_INVALID')) return false
    throw error
  }
}

interface Prepared {
  items: RebuiltItem[]
  /** What needs no item. */
  told: Rebuilt[]
}

/** @returns what reads a batch and judges its sources */
function createPreparer({ owners, released, ...parts }: RebuildParts, signal: AbortSignal) {
  const judge = createSourceJudge(parts, signal)
  const listed = openListed(parts.disk.root)
  return async (paths: readonly string[]): Promise<Prepared> => {
    const known = await owners(paths)
    const fresh = paths.filter((path) => !known.has(path))
    const read = await inLanes(fresh, READS, (path) => readOne(listed, path))
    const sidecars = read.flatMap((one) => ('sidecar' in one ? [one.sidecar] : []))
    const gone = await released(sidecars.map((sidecar) => sidecar.media_id))
    const items = await judge(sidecars.map(itemOf), gone)
    const others = read.flatMap((one) => ('sidecar' in one ? [] : [one]))
    return { items, told: [...[...known.keys()].map((path) => told(path, 'known')), ...others] }
  }
}

async function insertPrepared(
  { insert, owners }: Pick<RebuildParts, 'insert' | 'owners'>,
  { items, told: settled }: Prepared,
): Promise<Rebuilt[]> {
  const inserted: Inserted[] = []
  for (let from = 0; from < items.length; from += INSERTS)
    inserted.push(...(await insert(items.slice(from, from + INSERTS))))
  const states = new Map(items.map(({ file, state }) => [file.archivePath, state]))
  const raced = inserted.filter(({ outcome }) => outcome === 'raced')
  const theirs = await owners(raced.map(({ archivePath }) => archivePath))
  const made = inserted.map(({ archivePath, outcome, marked }) => {
    if (outcome === 'raced' && !theirs.has(archivePath))
      return told(archivePath, 'refused', 'another item was made just now: run this again')
    const state = outcome === 'made' ? states.get(archivePath) : undefined
    return { ...told(archivePath, state ?? 'known'), marked }
  })
  return [...settled, ...made]
}

/** Reads one sidecar and looks at its file. */
async function readOne(
  disk: Pick<Disk, 'stat' | 'read'>,
  path: string,
): Promise<{ sidecar: Sidecar } | Rebuilt> {
  try {
    const text = await disk.read(sidecarPathOf(path), SIDECAR_MAX_BYTES)
    const facts = await disk.stat(path)
    if (text === null || facts === null) return told(path, 'refused', 'it went away just now')
    const sidecar = parseSidecar(text)
    const { archive_path: named, bytes, source } = sidecar
    if (named !== path)
      return told(path, 'refused', `its sidecar names ${named}: move both back there`)
    if (facts.sizeBytes !== bytes)
      return told(path, 'refused', `it has ${facts.sizeBytes} bytes, archived were ${bytes}`)
    return source === null ? told(path, 'by_hand') : { sidecar }
  } catch (error) {
    const reason = toAppError(error)
    if (reason.retry === 'outage' && reason.code !== 'DISK_DENIED') throw reason
    return told(path, 'refused', reason.message)
  }
}

/** The item of a sidecar, as long as nobody has looked for its source. */
export function itemOf(sidecar: Sidecar): RebuiltItem {
  const source = sourceOf(sidecar)
  return {
    // What was archived from a source may be released after its grace, as ever: that reads it first.
    state: source === null ? 'kept' : 'archived',
    media: describedMedia(sidecar),
    file: adoptedFileOf(sidecar),
    source,
    proof: sidecar.proof,
    sourceSeen: false,
  }
}

/** Makes the judge of what became of the sources: by our own audit rows, then by the bucket. */
function createSourceJudge(
  { bucket, confirmed }: Pick<RebuildParts, 'bucket' | 'confirmed'>,
  signal: AbortSignal,
) {
  const seen = { gone: 0, there: 0 }
  const judgeOne = async (item: RebuiltItem, released: Set<string>): Promise<RebuiltItem> => {
    const { source, media } = item
    if (source === null) return item
    if (released.has(`${media.mediaId} ${source.etag}`)) return { ...item, state: 'released' }
    // What lies in another bucket stays there, and every run says so.
    if (bucket === null || bucket.name !== source.bucket) return item
    const facts = await bucket.head(source.key, signal)
    seen[facts === null ? 'gone' : 'there'] += 1
    if (facts === null) return { ...item, state: 'released' }
    const isSame = facts.etag === source.etag && facts.sizeBytes === source.sizeBytes
    return isSame ? { ...item, sourceSeen: true } : { ...item, state: 'source_differs' }
  }
  return async (items: readonly RebuiltItem[], released: Set<string>): Promise<RebuiltItem[]> => {
    const judged = await inLanes(items, HEADS, (item) => judgeOne(item, released))
    if (confirmed || seen.there > 0 || seen.gone <= MASS_CHANGE_LIMIT) return judged
    throw new AppError(
      'MASS_CHANGE',
      `${seen.gone} sources were looked for and none is in bucket "${bucket?.name}" at this R2_ENDPOINT`,
      { hint: 'check R2_ENDPOINT and R2_BUCKET; if they were all released, go on with --confirm' },
    )
  }
}

function told(archivePath: string, outcome: RebuildOutcome, reason: string | null = null): Rebuilt {
  return { archivePath, outcome, marked: false, reason }
}

/** The results in the order of `values`; no more than `most` are under way at one time, and the first error ends it. */
async function inLanes<T, R>(
  values: readonly T[],
  most: number,
  work: (value: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  const queue = values.entries()
  let failed = false
  const lane = async () => {
    for (const [index, value] of queue) {
      if (failed) return
      try {
        results[index] = await work(value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: most }, lane))
  return results
}
