import type { Dirent } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type AppError, isAppError } from '../errors.ts'
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
  /** Why it may not be read; null when it was. */
  denied: AppError | null
  /** How much of the whole tree lies before it, from 0 to 1, as if all folders of a folder held equally much. */
  done: number
}

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
    const { entries, denied } = await entriesOf(join(root, path))
    const named = (is: (entry: Dirent) => boolean) =>
      entries
        .filter(is)
        .map(({ name }) => name)
        .sort()
    const folders = named((entry) => entry.isDirectory())
      .map((name) => (path === '' ? name : `${path}/${name}`))
      .filter((inner) => !skip.includes(inner))
    const share = folder.share / (folders.length + 1)
    for (const [index, inner] of [...folders.entries()].reverse())
      ahead.push({ path: inner, done: done + (index + 1) * share, share })
    const files = named((entry) => entry.isFile())
    const others = named((entry) => !entry.isFile() && !entry.isDirectory())
    yield { path, files, others, denied, done }
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

async function entriesOf(path: string): Promise<{ entries: Dirent[]; denied: AppError | null }> {
  try {
    const read = () => readdir(path, { withFileTypes: true })
    return { entries: await attempt('read', path, read), denied: null }
  } catch (error) {
    // Removed meanwhile, or replaced by something else.
    if (isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) return { entries: [], denied: null }
    // As every ext4 has one: lost+found.
    if (isAppError(error, 'DISK_DENIED')) return { entries: [], denied: error }
    throw error
  }
}
