import { randomBytes } from 'node:crypto'
import { readdir, stat as statFollowing, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AppError, isAppError } from '../errors.ts'
import { DIRECT_BYTES } from './direct.ts'
import { call } from './disk-calls.ts'
import { parentOf, segmentsOf } from './disk-path.ts'
import type { Place } from './disk-thread.js'
import { attempt, chunksOf, type FileFacts } from './file-io.ts'
import { hashFile } from './hash-file.ts'
import { type NewFile, newFile } from './new-file.ts'

export { parentOf, segmentsOf }

/**
 * A folder tree on one file system; every path is relative to `root` and cannot leave it. '' and '.' are the root.
 *
 * Names and contents are durable only after `syncFolder` and `seal`/`syncFile`: callers order these calls, and the
 * tests replace this interface by one that drops whatever was not synced.
 *
 * All calls throw AppErrors: DISK_FULL, DISK_SICK (EIO, failed fsync), DISK_DENIED, NAME_TAKEN, LINK_REFUSED,
 * FILE_MISSING, PATH_UNSAFE.
 */
export interface Disk {
  readonly root: string
  /**
   * Exclusive, mode 0600, never through a symbolic link.
   *
   * @param expectedBytes where the file may be large: such a one goes past the page cache, and is to be written from memory that
   *   begins with a page
   * @throws NAME_TAKEN
   */
  create(path: string, expectedBytes?: number): Promise<NewFile>
  /** @returns null when there is no such entry */
  stat(path: string): Promise<FileFacts | null>
  /** Reads a small regular file whole. @returns null when absent; @throws PATH_UNSAFE when it is larger than `maxBytes` */
  read(path: string, maxBytes: number): Promise<Buffer | null>
  /** Reads a regular file to its end. @throws FILE_MISSING */
  hash(
    path: string,
    signal?: AbortSignal,
  ): Promise<{ sha256: string; sizeBytes: number; device: number }>
  /**
   * Reads a regular file in order. One buffer is used again and again: a chunk is valid only until the next one is
   * asked for. @throws FILE_MISSING
   */
  chunks(path: string, signal?: AbortSignal): AsyncIterable<Uint8Array>
  /** Makes one folder; fine if it is there already. @throws NAME_TAKEN when something else has the name */
  makeFolder(path: string): Promise<void>
  /** @throws NAME_TAKEN, LINK_REFUSED (this file system has no hard links for us) */
  link(from: string, to: string): Promise<void>
  /** Replaces `to`. */
  rename(from: string, to: string): Promise<void>
  /** Fine if it is gone already. */
  unlink(path: string): Promise<void>
  syncFile(path: string): Promise<void>
  syncFolder(path: string): Promise<void>
  /** Entry names; empty when the folder is absent. */
  list(path: string): Promise<string[]>
  room(): Promise<DiskRoom>
}

/** A whole file system, in bytes. */
export interface DiskRoom {
  /** What an unprivileged process may still write. */
  freeBytes: number
  /** Used or free. */
  totalBytes: number
}

/** statfs magic of tmpfs, ramfs and overlayfs; a root file system in RAM is one of the first two. */
const MEMORY_MAGIC = new Set([0x01021994, 0x858458f6, 0x794c7630])

/**
 * Opens the folder `root` as a {@link Disk}.
 *
 * Symbolic links below the root are refused level by level before each call. Node has no `openat`, so someone who may
 * write inside the root can still swap a folder for a link between check and use: the root belongs to Strongroom alone.
 *
 * @param root absolute; may itself be a symbolic link
 * @param how `directIo`: large files go past the page cache, where the file system lets them (direct.ts)
 * @throws FILE_MISSING, PATH_UNSAFE (not a folder)
 */
export async function openDisk(
  root: string,
  { directIo = true }: { directIo?: boolean } = {},
): Promise<Disk> {
  const base = resolve(root)
  const facts = await attempt('look at', base, () => statFollowing(base))
  if (!facts.isDirectory()) throw new AppError('PATH_UNSAFE', `${base} is not a folder`)
  const at = (path: string): Place => ({ root: base, path: segmentsOf(path).join('/') })
  const both = (from: string, to: string) => ({ root: base, from: at(from).path, to: at(to).path })
  return {
    root: base,
    create: async (path, expectedBytes = 0) =>
      newFile(await call('create', at(path)), path, directIo && expectedBytes >= DIRECT_BYTES),
    stat: async (path) => call('look', at(path)),
    read: async (path, maxBytes) => readSmall(at(path), maxBytes),
    hash: async (path, signal) => hashFile(at(path), directIo, signal),
    chunks: (path, signal) => chunksOf(async () => call('confine', at(path)), signal),
    makeFolder: async (path) => call('makeFolder', at(path)),
    link: async (from, to) => call('link', both(from, to)),
    rename: async (from, to) => call('rename', both(from, to)),
    unlink: async (path) => call('unlink', at(path)),
    syncFile: async (path) => call('sync', { ...at(path), kind: 'file' }),
    syncFolder: async (path) => call('sync', { ...at(path), kind: 'folder' }),
    list: async (path) =>
      orWhenMissing([], async () => {
        const folder = await call('confine', at(path))
        return attempt('read', folder, () => readdir(folder))
      }),
    room: () => roomOf(base),
  }
}

/**
 * @param path any on the file system that is meant
 * @throws FILE_MISSING and what else {@link Disk} throws
 */
export async function roomOf(path: string): Promise<DiskRoom> {
  const { bavail, blocks, bsize } = await attempt('look at', path, () => statfs(path))
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}

/** Tells whether what is written at `path` outlives a restart of the machine (or of the container). */
export async function fileSystemKind(path: string): Promise<'disk' | 'memory'> {
  const { type } = await attempt('look at', path, () => statfs(path))
  return MEMORY_MAGIC.has(type >>> 0) ? 'memory' : 'disk'
}

/** A place on a disk. */
export interface DiskPath {
  disk: Disk
  path: string
}

/** True for the name of a copy that a crash of {@link copyDurably} left. */
export function isLeftoverCopy(name: string): boolean {
  return /^\.copy-[0-9a-f]{16}$/.test(name)
}

/**
 * Copies a file, to another file system if need be; a crash at any point leaves the target's name absent, or empty
 * where hard links are refused, or whole. What is there already is never overwritten.
 *
 * @throws NAME_TAKEN, FILE_MISSING and what {@link Disk} throws
 */
export async function copyDurably(from: DiskPath, to: DiskPath, mode: number): Promise<void> {
  const folder = parentOf(to.path)
  const temporary = `${folder === '' ? '' : `${folder}/`}.copy-${randomBytes(8).toString('hex')}`
  const copy = await to.disk.create(temporary)
  try {
    for await (const chunk of from.disk.chunks(from.path)) await copy.write(chunk)
    await copy.seal(mode)
    await placeExclusively(to.disk, temporary, to.path)
    await to.disk.syncFolder(folder)
  } catch (error) {
    await discard(copy, to.disk).catch(() => {}) // the first error is the one to tell
    throw error
  }
  await to.disk.unlink(temporary)
}

async function discard(file: NewFile, disk: Pick<Disk, 'unlink'>): Promise<void> {
  await file.close()
  await disk.unlink(file.path)
}

/**
 * Gives a sealed temporary its final name and overwrites nothing; the temporary may be gone afterwards. Where hard links
 * are refused a crash can leave the name with an empty file.
 *
 * @throws NAME_TAKEN
 */
export async function placeExclusively(
  disk: Pick<Disk, 'link' | 'create' | 'rename' | 'unlink'>,
  temporary: string,
  path: string,
): Promise<void> {
  try {
    await disk.link(temporary, path)
  } catch (error) {
    if (!isAppError(error, 'LINK_REFUSED')) throw error
    // The empty file reserves the name, so what rename replaces is ours.
    const reserved = await disk.create(path)
    try {
      await reserved.close()
      await disk.rename(temporary, path)
    } catch (failure) {
      await discard(reserved, disk).catch(() => {}) // the first error is the one to tell
      throw failure
    }
  }
}

export async function orWhenMissing<T>(instead: T, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (isAppError(error, 'FILE_MISSING')) return instead
    throw error
  }
}

async function readSmall(place: Place, maxBytes: number): Promise<Buffer | null> {
  const found = await call('read', { ...place, mostBytes: maxBytes })
  if (found === null) return null
  const { bytes } = found
  if (bytes.byteLength <= maxBytes) return Buffer.from(bytes.buffer)
  throw new AppError('PATH_UNSAFE', `${place.root}/${place.path} is larger than ${maxBytes} bytes`)
}
