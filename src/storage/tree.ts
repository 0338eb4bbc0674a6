import { isUtf8 } from 'node:buffer'
import { constants } from 'node:fs'
import { access, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isAppError } from '../errors.ts'
import { type Disk, orWhenMissing } from './disk.ts'
import { FILE_FLAGS } from './file-facts.js'
import { attempt, factsOf, readWhole } from './file-io.ts'

/** What lies in one folder; of folders below it only that they are walked next. */
export interface WalkedFolder {
  /** Relative to the root, '' for the root itself. */
  path: string
  /** Names of regular files, sorted. */
  files: string[]
  /** Names of links, pipes, sockets and devices, sorted; links are never followed. */
  others: string[]
  /** What could not be looked at: this folder itself, or entries of it whose names are no UTF-8. */
  closed: Closed[]
  /** How much of the whole tree lies before it, from 0 to 1, as if all folders of a folder held equally much. */
  done: number
}

export interface Closed {
  /** Relative to the root; bytes that are no ASCII as \xNN where a name is no UTF-8. */
  path: string
  reason: string
}

/** Every ext4 has one at its root, and only root may look into it. */
export const LOST_AND_FOUND = 'lost+found'

/**
 * Walks a tree in the order of its names and holds no more of it than the names on the way to where it is.
 *
 * @param start relative to `root`; nothing when it is not there
 * @param skip folders, relative to `root`, that are left out
 * @throws DISK_SICK, CANCELLED
 */
export async function* walkTree(
  root: string,
  { start, skip = [], signal }: { start: string; skip?: readonly string[]; signal: AbortSignal },
): AsyncGenerator<WalkedFolder> {
  const ahead = [{ path: start, done: 0, share: 1 }]
  for (let folder = ahead.pop(); folder !== undefined; folder = ahead.pop()) {
    signal.throwIfAborted()
    const { path, done } = folder
    const { entries, closed } = await entriesOf(root, path)
    const named = (is: (entry: Entry) => boolean) =>
      entries
        .filter(is)
        .map(({ name }) => String(name))
        .sort()
    const folders = named((entry) => entry.isDirectory())
      .map((name) => below(path, name))
      .filter((inner) => !skip.includes(inner))
    const share = folder.share / (folders.length + 1)
    for (const [index, inner] of [...folders.entries()].reverse())
      ahead.push({ path: inner, done: done + (index + 1) * share, share })
    const files = named((entry) => entry.isFile())
    const others = named((entry) => !entry.isFile() && !entry.isDirectory())
    yield { path, files, others, closed, done }
  }
}

/**
 * Looks at what a walk over `root` has just listed as files: neither every folder on the way nor the file's own kind is
 * looked at again, which for a hundred thousand small files would be most of the work.
 */
export function openListed(root: string): Pick<Disk, 'stat' | 'read'> {
  return {
    stat: (path) => orWhenMissing(null, () => factsOf(join(root, path))),
    read: (path, maxBytes) => orWhenMissing(null, () => readSmall(join(root, path), maxBytes)),
  }
}

const SMALL_BYTES = 8_192

async function readSmall(path: string, maxBytes: number): Promise<Buffer> {
  const file = await attempt('read', path, () => open(path, FILE_FLAGS))
  try {
    const buffer = Buffer.allocUnsafe(SMALL_BYTES)
    const { bytesRead } = await attempt('read', path, () => file.read(buffer, 0, SMALL_BYTES, 0))
    if (bytesRead < SMALL_BYTES) return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
  return readWhole(path, maxBytes)
}

type Entry = Awaited<ReturnType<typeof readEntries>>[number]

async function entriesOf(
  root: string,
  path: string,
): Promise<{ entries: Entry[]; closed: Closed[] }> {
  const folder = join(root, path)
  try {
    const found = await attempt('read', folder, () => readEntries(folder))
    // A folder may be listed and not entered: nobody can look at what it names.
    await attempt('look into', folder, () => access(folder, constants.X_OK))
    const entries = found.filter(({ name }) => isUtf8(name))
    const unnamed = found.filter(({ name }) => !isUtf8(name))
    return { entries, closed: unnamed.map(({ name }) => unnamable(path, name)) }
  } catch (error) {
    // Removed meanwhile, or replaced by something else.
    if (isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) return { entries: [], closed: [] }
    if (!isAppError(error, 'DISK_DENIED')) throw error
    return { entries: [], closed: [{ path, reason: error.message }] }
  }
}

/** Names as bytes: decoded, those that are no UTF-8 would name something that is not there. */
function readEntries(folder: string) {
  return readdir(folder, { withFileTypes: true, encoding: 'buffer' })
}

function unnamable(folder: string, name: Buffer): Closed {
  const shown = name
    .toString('latin1')
    .replace(/[^ -[\]-~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return { path: below(folder, shown), reason: 'its name is no UTF-8' }
}

function below(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
