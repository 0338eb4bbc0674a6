import type { ArchivedFile } from '../db/archived.ts'
import type { AbandonedItem } from '../db/fsck.ts'
import type { Finding } from './fsck-findings.ts'
import { findLeftovers } from './fsck-leftovers.ts'
import type { FsckParts } from './fsck-parts.ts'
import { findInTree } from './fsck-tree.ts'
import { type Found, lookTwice, sidecarTrouble, troubleOf } from './verify.ts'

const PAGE = 200
/** Looks at a spinning disk that are under way at one time. */
const LOOKS = 8

/**
 * Holds items and archive tree against each other, both ways, and tells all that is not at rest. Reads names, sizes and
 * sidecars, never media; writes nothing. Safe beside any number of workers: what looks wrong is looked at twice.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN (before any verdict), DB_*, DISK_SICK, CANCELLED
 */
export async function* fsck(parts: FsckParts, signal: AbortSignal): AsyncGenerator<Finding> {
  await parts.volume.verify()
  yield* findUnfinished(parts, signal)
  yield* findLeftovers(parts, signal)
  yield* findBroken(parts, signal)
  yield* findInTree(parts, signal)
}

async function* findUnfinished(parts: FsckParts, signal: AbortSignal): AsyncGenerator<Finding> {
  const row = await parts.archive()
  if (row?.sick)
    yield { kind: 'sick', path: null, item: null, mediaId: null, reason: row.sick.reason }
  let page: AbandonedItem[] = []
  do {
    signal.throwIfAborted()
    page = await parts.abandoned({ after: page.at(-1)?.item ?? 0, limit: PAGE })
    for (const { item, mediaId, archivePath: path, state } of page) {
      const reason = `it is ${state}, and nobody works on it`
      yield { kind: 'unfinished', path, item, mediaId, reason }
    }
  } while (page.length === PAGE)
  for (const { mediaId, archivePath: path } of await parts.reapproved()) {
    const reason = 'its media row says approved'
    yield { kind: 'reapproved', path, item: null, mediaId, reason }
  }
}

async function* findBroken(parts: FsckParts, signal: AbortSignal): AsyncGenerator<Finding> {
  for (;;) {
    await parts.volume.verify()
    const page = await parts.next()
    if (page.length === 0) return
    for (let from = 0; from < page.length; from += LOOKS) {
      signal.throwIfAborted()
      const files = page.slice(from, from + LOOKS)
      const looks = files.map((file) => lookTwice(parts, file, (one) => glance(parts.disk, one)))
      for (const verified of await Promise.all(looks)) {
        const { verdict = 'busy', reason, file } = verified ?? {}
        if (verdict === 'whole' || verdict === 'busy' || !file) continue
        const { archivePath: path, item, mediaId } = file
        yield { kind: verdict, path, item, mediaId, reason: reason ?? verdict }
      }
      parts.looked('items', files.length)
    }
  }
}

/** What can be told without reading the file. */
async function glance(disk: FsckParts['disk'], file: ArchivedFile): Promise<Found | null> {
  try {
    const facts = await disk.stat(file.archivePath)
    if (facts === null) return { verdict: 'missing', reason: 'there is no such file' }
    if (facts.kind !== 'file') return { verdict: 'missing', reason: 'it is no file' }
    if (facts.sizeBytes !== file.sizeBytes)
      return {
        verdict: 'damaged',
        reason: `it has ${facts.sizeBytes} bytes, archived were ${file.sizeBytes}`,
      }
    return await sidecarTrouble(disk, file)
  } catch (error) {
    return troubleOf(error)
  }
}
