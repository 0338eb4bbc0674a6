import { hash } from 'node:crypto'
import { AppError } from '../../src/errors.ts'
import { segmentsOf } from '../../src/storage/disk.ts'
import type { FileFacts } from '../../src/storage/file-io.ts'

/** A simulated file's contents, whatever its names are. */
export interface Inode {
  readonly kind: 'file'
  readonly id: number
  content: Buffer
  /** What a crash cannot take away; null when nothing was ever synced. */
  durable: Buffer | null
  /** A sync failed: later ones succeed and mean nothing. */
  lost: boolean
  mode: number
  /** Stands for the time of the last one. */
  writes: number
}

export type Entry = Inode | Folder

/** A simulated folder: what is seen, what is durable, and the names between the two. */
export interface Folder {
  readonly kind: 'folder'
  readonly id: number
  readonly entries: Map<string, Entry>
  readonly durable: Map<string, Entry>
  readonly changes: Map<string, NameChange>
}

/** All that one name has stood for since the last sync (null: nothing), oldest first. */
export interface NameChange {
  values: (Entry | null)[]
  lost: boolean
}

let lastId = 0

export function newInode(): Inode {
  lastId += 1
  const content = Buffer.alloc(0)
  return { kind: 'file', id: lastId, content, durable: null, lost: false, mode: 0o600, writes: 0 }
}

export function newFolder(): Folder {
  lastId += 1
  return {
    kind: 'folder',
    id: lastId,
    entries: new Map(),
    durable: new Map(),
    changes: new Map(),
  }
}

/** Makes `name` stand for `value` in what is seen; a sync makes it durable. */
export function changeEntry(folder: Folder, name: string, value: Entry | null): void {
  const change = folder.changes.get(name) ?? { values: [], lost: false }
  change.values.push(value)
  change.lost = false
  folder.changes.set(name, change)
  if (value) folder.entries.set(name, value)
  else folder.entries.delete(name)
}

export function taken(path: string): AppError {
  return new AppError('NAME_TAKEN', `${path} is there already`)
}

/** Makes the contents durable, or never again where `failure` says that the sync failed. */
export function syncInode(inode: Inode, failure: AppError | null): void {
  if (failure) {
    inode.lost = true
    throw failure
  }
  if (!inode.lost) inode.durable = inode.content
}

/** Makes the names in `folder` durable, not what they stand for. */
export function syncEntries(folder: Folder, failure: AppError | null): void {
  for (const [name, change] of folder.changes) {
    if (failure) change.lost = true
    else if (!change.lost) {
      folder.changes.delete(name)
      const value = folder.entries.get(name)
      if (value) folder.durable.set(name, value)
      else folder.durable.delete(name)
    }
  }
  if (failure) throw failure
}

export function find(top: Folder, path: string): Entry | null {
  let at: Entry | undefined = top
  for (const name of segmentsOf(path)) {
    if (at.kind === 'file') throw new AppError('PATH_UNSAFE', `${path} goes through a file`)
    at = at.entries.get(name)
    if (!at) return null
  }
  return at
}

export function placeOf(top: Folder, path: string): { folder: Folder; name: string } {
  const segments = segmentsOf(path)
  const name = segments.at(-1)
  if (name === undefined) throw taken(path)
  return { folder: folderAt(top, segments.slice(0, -1).join('/')), name }
}

export function folderAt(top: Folder, path: string): Folder {
  const found = find(top, path)
  if (!found) throw new AppError('FILE_MISSING', `there is no folder ${path}`)
  if (found.kind === 'file') throw new AppError('PATH_UNSAFE', `${path} is a file`)
  return found
}

export function fileAt(top: Folder, path: string): Inode {
  const found = find(top, path)
  if (!found) throw new AppError('FILE_MISSING', `there is no file ${path}`)
  if (found.kind === 'folder') throw new AppError('PATH_UNSAFE', `${path} is a folder`)
  return found
}

export function factsOf(found: Entry, top: Folder, device: number): FileFacts {
  const sizeBytes = found.kind === 'file' ? found.content.byteLength : 4096
  const links = found.kind === 'file' ? namesOf(found, top) : 2
  const changedMs = found.kind === 'file' ? found.writes : 0
  return { kind: found.kind, sizeBytes, device, inode: found.id, links, changedMs }
}

function namesOf(inode: Inode, top: Folder): number {
  let names = 0
  for (const [, entry] of walk(top, '')) if (entry === inode) names += 1
  return names
}

/** Contents count once, however many names they have. */
export function usedBytes(top: Folder): number {
  const files = new Set<Inode>()
  for (const [, entry] of walk(top, '')) if (entry.kind === 'file') files.add(entry)
  return [...files].reduce((sum, file) => sum + file.content.byteLength, 0)
}

/** Every path below `folder`, parents first. */
export function* walk(folder: Folder, prefix: string): Iterable<[string, Entry]> {
  for (const [name, entry] of folder.entries) {
    yield [prefix + name, entry]
    if (entry.kind === 'folder') yield* walk(entry, `${prefix}${name}/`)
  }
}

const hashes = new WeakMap<Buffer, string>()

/** Hex. Bytes that a disk holds are never changed in place, so each buffer is hashed once, in however many states it is seen. */
export function sha256Of(content: Buffer): string {
  const known = hashes.get(content)
  if (known !== undefined) return known
  const made = hash('sha256', content)
  hashes.set(content, made)
  return made
}
