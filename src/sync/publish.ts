import { dirname } from 'node:path'
import { renderArchivePath, withSuffix } from '../archive-path.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Intent, Item, ProbeFacts } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import type { FileFacts } from '../storage/file-io.ts'
import type { Downloaded } from './download.ts'
import type { Parts } from './parts.ts'
import { describesIntent, readSidecar, writeSidecar } from './sidecar-file.ts'

export type PublishParts = Pick<
  Parts,
  'disk' | 'folders' | 'readBacks' | 'policy' | 'reached' | 'log'
> & {
  items: Pick<Parts['items'], 'commitIntent'>
  volume: Pick<Parts['volume'], 'canLink' | 'verify'>
  leases: Pick<Parts['leases'], 'assertAlive'>
}

/** A file under its final name, its sidecar beside it, both durable. */
export interface Published {
  intent: Intent
}

const NAME_TRIES = 20

/**
 * Files a proven, valid download: the bytes are made durable, the intent is committed, the sidecar appears, then the file,
 * then their folder is made durable. What is already there is never overwritten; a taken name gets a suffix and a new
 * intent.
 *
 * @throws LEASE_LOST, DISK_*, VOLUME_*
 */
export async function publish(
  parts: PublishParts,
  item: Item,
  found: Downloaded & { facts: ProbeFacts },
): Promise<Published> {
  await found.part.seal(parts.policy.fileMode)
  const sealed = found.readBackSince === null ? null : await parts.disk.stat(found.part.path)
  await parts.reached('sealed', item)
  const rendered = renderArchivePath(parts.policy.layout, {
    media: item.media,
    sha256: found.sha256,
  })
  for (const archivePath of candidates(parts, item, { rendered, sha256: found.sha256 })) {
    const intent: Intent = {
      archivePath,
      sha256: found.sha256,
      source: found.source,
      probe: found.facts,
      proof: found.proof,
      filedAt: new Date(),
    }
    // Looked at before the intent names it: recovery takes a committed path for the item's own.
    const occupant = await whatLiesAt(parts, item, intent)
    if (occupant === 'other') continue
    const outcome = await parts.items.commitIntent(item, intent)
    if (outcome === 'stale') throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)
    if (outcome === 'taken') continue
    await parts.reached('intent-committed', item)
    if (!(await place(parts, { item, intent, part: found.part.path, occupant }))) continue
    if (sealed !== null) await noteReadBack(parts, intent, { sealed, since: found.readBackSince })
    return { intent }
  }
  throw new AppError('NAME_TAKEN', `no free name for ${rendered} in the archive`, {
    hint: 'look at what lies there; ARCHIVE_LAYOUT with {sha256} makes names unique',
  })
}

/** What was there already is another file than the one that was read back. */
async function noteReadBack(
  { disk, readBacks }: PublishParts,
  { archivePath, sha256 }: Intent,
  { sealed, since }: { sealed: FileFacts; since: number | null },
): Promise<void> {
  if (readBacks === null || since === null) return
  const file = await disk.stat(archivePath)
  if (file !== null && file.inode === sealed.inode) readBacks.note(file, sha256, since)
}

/** Names to try in turn. Without hard links the first one already carries the epoch: nobody else can have it. */
function* candidates(
  { volume }: PublishParts,
  item: Item,
  { rendered, sha256 }: { rendered: string; sha256: string },
): Generator<string> {
  if (!volume.canLink) {
    yield withSuffix(rendered, `${item.id}.${item.epoch}`)
    return
  }
  yield rendered
  yield withSuffix(rendered, sha256.slice(0, 8))
  for (let n = 2; n < NAME_TRIES; n++) yield withSuffix(rendered, `${sha256.slice(0, 8)}-${n}`)
}

interface Placement {
  item: Item
  intent: Intent
  /** The sealed temporary. */
  part: string
  occupant: 'nothing' | 'this'
}

/** @returns false when something else has the name */
async function place(parts: PublishParts, placement: Placement): Promise<boolean> {
  const { disk, folders, volume, leases, reached } = parts
  const { item, intent, part, occupant } = placement
  const folder = dirname(intent.archivePath)
  await volume.verify()
  await folders.ensure(folder)
  const sidecar = await writeSidecar(parts, item, intent)
  try {
    await reached('sidecar-written', item)
    leases.assertAlive(item)
    if (occupant === 'nothing') await putBoth(parts, placement, sidecar)
    await disk.syncFolder(folder)
    await reached('folder-synced', item)
    await disk.unlink(part)
    return true
  } catch (error) {
    if (isAppError(error, 'NAME_TAKEN')) return false
    // Another folder may have come under the name since: look again next time.
    folders.forget()
    throw error
  } finally {
    await disk.unlink(sidecar)
  }
}

/** The sidecar first: without its file it is harmless, a file without its sidecar would be nobody's. */
async function putBoth(
  parts: PublishParts,
  { item, intent, part }: Placement,
  sidecar: string,
): Promise<void> {
  await putFinal(parts, sidecar, sidecarPathOf(intent.archivePath))
  await parts.reached('sidecar-linked', item)
  try {
    await putFinal(parts, part, intent.archivePath)
  } catch (error) {
    if (isAppError(error, 'NAME_TAKEN')) await takeBack(parts, item, { sidecar, intent })
    throw error
  }
  await parts.reached('file-linked', item)
}

/** A foreign file came between: our sidecar must not describe it. Only the very link that we made is removed. */
async function takeBack(
  { disk, leases }: PublishParts,
  item: Item,
  { sidecar, intent }: { sidecar: string; intent: Intent },
): Promise<void> {
  const target = sidecarPathOf(intent.archivePath)
  const mine = await disk.stat(sidecar)
  const there = await disk.stat(target)
  leases.assertAlive(item)
  if (mine === null || mine.inode !== there?.inode) return
  await disk.unlink(target)
  // Before the next intent forgets this name: a power cut must not bring the sidecar back.
  await disk.syncFolder(dirname(target))
}

/**
 * Publishing only ever adds names, because a worker whose lease is over may still be doing it. So a file that is there is
 * used if it is this very copy, left by an earlier epoch, and otherwise left alone: the next name is tried.
 */
async function whatLiesAt(
  { disk }: PublishParts,
  item: Item,
  intent: Intent,
): Promise<'nothing' | 'this' | 'other'> {
  const path = intent.archivePath
  const file = await disk.stat(path)
  const sidecar = await disk.stat(sidecarPathOf(path))
  if (file === null && sidecar === null) return 'nothing'
  if (file === null) return 'other'
  const found = await readSidecar({ disk }, path)
  if (!describesIntent(found, { media: item.media, intent })) return 'other'
  const { sha256 } = await disk.hash(path)
  if (sha256 !== intent.sha256) return 'other'
  await disk.syncFile(path)
  await disk.syncFile(sidecarPathOf(path))
  return 'this'
}

/** Gives a sealed temporary its final name; a link cannot clobber, and without links the name is ours alone. */
export async function putFinal(
  { disk, volume }: Pick<PublishParts, 'disk' | 'volume'>,
  temporary: string,
  target: string,
): Promise<void> {
  if (volume.canLink) return disk.link(temporary, target)
  if ((await disk.stat(target)) !== null)
    throw new AppError('NAME_TAKEN', `${target} exists already`)
  return disk.rename(temporary, target)
}
