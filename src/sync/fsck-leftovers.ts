import { join } from 'node:path'
import { PRIVATE_FOLDER } from '../archive-path.ts'
import { isLeftoverCopy } from '../storage/disk.ts'
import { lastWritten } from '../storage/file-io.ts'
import { walkTree } from '../storage/tree.ts'
import { ABANDONED_AFTER_MS, abandonedAdoptions } from './adopt-sidecar.ts'
import type { Finding } from './fsck-findings.ts'
import type { FsckParts } from './fsck-parts.ts'
import { uselessTemporaries } from './temporaries.ts'
import { QUARANTINE_FOLDER, WITHDRAWN_FOLDER } from './volume.ts'

type LeftoverParts = Pick<FsckParts, 'disk' | 'errorDisk' | 'current' | 'now'>

/** What lies in our own folders and in ERROR_DIR and is of no use any more, and what was set aside. */
export async function* findLeftovers(
  parts: LeftoverParts,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const { disk, errorDisk, current, now } = parts
  for (const { path, item } of await uselessTemporaries({ disk, items: { current } })) {
    // Its worker may have come to the end meanwhile, and has removed it before it said so.
    if ((await disk.stat(path)) === null) continue
    yield { ...temporary(path, 'no worker goes on with it'), item }
  }
  for (const path of await abandonedAdoptions({ disk }, now()))
    yield temporary(path, 'an adoption that was killed left it')
  for (const path of errorDisk === null ? [] : await leftoverCopies(errorDisk, now()))
    yield temporary(join(errorDisk?.root ?? '', path), 'a copy that was not finished')
  for (const start of [WITHDRAWN_FOLDER, QUARANTINE_FOLDER])
    for await (const { path, files } of walkTree(disk.root, { start, signal }))
      for (const name of files) yield setAside(`${path}/${name}`)
}

/** Unfinished copies in ERROR_DIR. No item owns them, so only their age tells that nobody writes them. */
export async function leftoverCopies(
  errorDisk: Pick<NonNullable<FsckParts['errorDisk']>, 'root' | 'list'>,
  now: Date,
): Promise<string[]> {
  const found: string[] = []
  for (const name of (await errorDisk.list('')).filter(isLeftoverCopy)) {
    const written = await lastWritten(errorDisk.root, name)
    if (written !== null && now.getTime() - written.getTime() >= ABANDONED_AFTER_MS)
      found.push(name)
  }
  return found
}

function temporary(path: string, reason: string): Finding {
  return { kind: 'temporary', path, item: null, mediaId: null, reason }
}

/** The folder's name begins with the item's id. */
function setAside(path: string): Finding {
  const [folder = '', owner = ''] = path.slice(PRIVATE_FOLDER.length + 1).split('/')
  const item = Number.parseInt(owner, 10)
  return {
    kind: 'aside',
    path,
    item: Number.isSafeInteger(item) ? item : null,
    mediaId: null,
    reason: folder === 'withdrawn' ? 'its media row had changed' : 'it was not what was archived',
  }
}
