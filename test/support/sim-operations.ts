import { createHash } from 'node:crypto'
import { AppError } from '../../src/errors.ts'
import { type Disk, segmentsOf } from '../../src/storage/disk.ts'
import type { NewFile } from '../../src/storage/new-file.ts'
import {
  changeEntry,
  type Folder,
  factsOf,
  fileAt,
  find,
  folderAt,
  type Inode,
  newFolder,
  newInode,
  placeOf,
  syncEntries,
  syncInode,
  taken,
  usedBytes,
} from './sim-inodes.ts'

/** Every operation of a disk that can be counted, halted or made to fail. */
export type SimOperation = Exclude<keyof Disk, 'root'> | 'write' | 'readBack' | 'seal' | 'close'

/** What the operations need of the disk they belong to. */
export interface SimGround {
  /** The tree that can be seen now. */
  top(): Folder
  device(): number
  capacityBytes(): number
  linksRefused(): boolean
  /** Asked once for each write. */
  isMiswritten(path: string): boolean
  /** Counts one operation and calls the hook. @returns the failure planned for it, if any */
  begin(name: SimOperation, path: string): Promise<AppError | null>
}

async function run<T>(
  ground: SimGround,
  [name, path]: [SimOperation, string],
  effect: () => T,
): Promise<T> {
  segmentsOf(path)
  const failure = await ground.begin(name, path)
  if (failure) throw failure
  return effect()
}

type Reads = Pick<Disk, 'stat' | 'read' | 'hash' | 'chunks' | 'list' | 'room'>

export function simulatedReads(ground: SimGround): Reads {
  const { top, device } = ground
  return {
    stat: (path) =>
      run(ground, ['stat', path], () => {
        const found = find(top(), path)
        return found ? factsOf(found, top(), device()) : null
      }),
    read: (path, maxBytes) =>
      run(ground, ['read', path], () => {
        if (!find(top(), path)) return null
        const { content } = fileAt(top(), path)
        if (content.byteLength > maxBytes) throw new AppError('PATH_UNSAFE', `${path} is too large`)
        return Buffer.from(content)
      }),
    hash: (path, signal) =>
      run(ground, ['hash', path], () => {
        const { content } = fileAt(top(), path)
        refuseCancelled(path, signal)
        const sha256 = createHash('sha256').update(content).digest('hex')
        return { sha256, sizeBytes: content.byteLength, device: device() }
      }),
    async *chunks(path, signal) {
      const content = await run(ground, ['chunks', path], () => fileAt(top(), path).content)
      refuseCancelled(path, signal)
      for (let offset = 0; offset < content.byteLength; offset += 65_536) {
        yield Buffer.from(content.subarray(offset, offset + 65_536))
        refuseCancelled(path, signal)
      }
    },
    list: (path) =>
      run(ground, ['list', path], () =>
        find(top(), path) ? [...folderAt(top(), path).entries.keys()] : [],
      ),
    room: () =>
      run(ground, ['room', ''], () => ({
        freeBytes: Math.min(2 ** 50, roomOf(ground)),
        totalBytes: 2 ** 50,
      })),
  }
}

function refuseCancelled(path: string, signal?: AbortSignal): void {
  if (signal?.aborted) throw new AppError('CANCELLED', `reading ${path} was cancelled`)
}

type Names = Pick<Disk, 'create' | 'makeFolder' | 'link' | 'rename' | 'unlink'>

export function simulatedNames(ground: SimGround): Names {
  const { top } = ground
  return {
    create: (path) =>
      run(ground, ['create', path], () => {
        const { folder, name } = placeOf(top(), path)
        if (folder.entries.has(name)) throw taken(path)
        const inode = newInode()
        changeEntry(folder, name, inode)
        return writerOf(ground, path, inode)
      }),
    makeFolder: (path) =>
      run(ground, ['makeFolder', path], () => {
        if (segmentsOf(path).length === 0) return
        const { folder, name } = placeOf(top(), path)
        const there = folder.entries.get(name)
        if (there?.kind === 'file') throw taken(path)
        if (!there) changeEntry(folder, name, newFolder())
      }),
    link: (from, to) =>
      run(ground, ['link', from], () => {
        const inode = fileAt(top(), from)
        const { folder, name } = placeOf(top(), to)
        if (ground.linksRefused()) throw new AppError('LINK_REFUSED', `no hard links here: ${to}`)
        if (folder.entries.has(name)) throw taken(to)
        changeEntry(folder, name, inode)
      }),
    rename: (from, to) =>
      run(ground, ['rename', from], () => {
        const inode = fileAt(top(), from)
        const [source, target] = [placeOf(top(), from), placeOf(top(), to)]
        const there = target.folder.entries.get(target.name)
        if (there?.kind === 'folder') throw taken(to)
        if (there === inode) return // POSIX: two names of one file stay as they are
        changeEntry(target.folder, target.name, inode)
        changeEntry(source.folder, source.name, null)
      }),
    unlink: (path) =>
      run(ground, ['unlink', path], () => {
        const found = find(top(), path)
        if (found?.kind === 'folder') throw new AppError('PATH_UNSAFE', `${path} is a folder`)
        if (!found) return
        const { folder, name } = placeOf(top(), path)
        changeEntry(folder, name, null)
      }),
  }
}

type Syncs = Pick<Disk, 'syncFile' | 'syncFolder'>

export function simulatedSyncs(ground: SimGround): Syncs {
  return {
    async syncFile(path) {
      const inode = fileAt(ground.top(), path)
      syncInode(inode, await ground.begin('syncFile', path))
    },
    async syncFolder(path) {
      const folder = folderAt(ground.top(), path)
      syncEntries(folder, await ground.begin('syncFolder', path))
    },
  }
}

function roomOf(ground: SimGround): number {
  const capacityBytes = ground.capacityBytes()
  if (capacityBytes === Number.POSITIVE_INFINITY) return capacityBytes
  return Math.max(0, capacityBytes - usedBytes(ground.top()))
}

function writerOf(ground: SimGround, path: string, inode: Inode): NewFile {
  let closed = false
  let failed: AppError | null = null
  const guard = () => {
    if (failed) throw failed
    if (closed) throw new Error(`${path} is closed`)
  }
  return {
    path,
    isDirect: true,
    get sizeBytes() {
      return inode.content.byteLength
    },
    async write(chunk) {
      guard()
      const copy = Buffer.from(chunk)
      const failure = await ground.begin('write', path)
      failed ??= failure
      if (ground.isMiswritten(path)) copy[0] = (copy[0] ?? 0) ^ 1
      let fits = failed ? copy.byteLength >> 1 : copy.byteLength
      if (fits > roomOf(ground)) {
        fits = roomOf(ground)
        failed ??= new AppError('DISK_FULL', `no room for ${path}`)
      }
      inode.content = Buffer.concat([inode.content, copy.subarray(0, fits)])
      inode.writes += 1
      guard()
    },
    async readBack(written, start) {
      guard()
      const failure = await ground.begin('readBack', path)
      failed ??= failure
      if (!inode.content.subarray(start, start + written.byteLength).equals(written))
        failed ??= new AppError('DISK_SICK', `${path} holds other bytes`)
      guard()
      return true
    },
    async seal(mode) {
      guard()
      const failure = await ground.begin('seal', path)
      failed ??= failure
      closed = true
      inode.mode = mode
      syncInode(inode, failed)
    },
    async close() {
      if (!closed) await ground.begin('close', path)
      closed = true
    },
  }
}
