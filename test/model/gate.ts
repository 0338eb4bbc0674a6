import type { Disk } from '../../src/storage/disk.ts'
import type { NewFile } from '../../src/storage/new-file.ts'
import type { Point } from '../../src/sync/parts.ts'

/** One thing that a worker does to the outside, or one point that it reaches between two steps. */
export interface Operation {
  of: 'disk' | 'errors' | 'database' | 'bucket' | 'point'
  name: string
  path: string
}

/**
 * Called before each operation takes effect, and after it for statements and requests, whose answer may be lost. It may
 * halt the worker (never settle), throw in its place, or answer `lost` to have a statement repeated.
 */
export type Gate = (
  operation: Operation,
  moment: 'before' | 'after',
) => undefined | 'lost' | Promise<undefined | 'lost'>

export const open: Gate = () => undefined

export function pointOf(point: Point): Operation {
  return { of: 'point', name: point, path: '' }
}

export function describe({ of, name, path }: Operation): string {
  return `${of} ${name}${path === '' ? '' : ` ${path}`}`
}

/** Operations that change nothing; between two of them the same crash is explored once. */
const READS = new Set([
  'stat',
  'read',
  'hash',
  'chunks',
  'list',
  'room',
  'readBack',
  'close',
  'head',
  'get',
])

export function changesSomething({ of, name }: Operation): boolean {
  return of !== 'point' && !READS.has(name)
}

/** The same disk (`errors`: the one of ERROR_DIR), as one worker sees it: through its own gate. */
export function gatedDisk(disk: Disk, gate: Gate, of: 'disk' | 'errors' = 'disk'): Disk {
  const at = async <T>(name: string, path: string, call: () => T | Promise<T>): Promise<T> => {
    await gate({ of, name, path }, 'before')
    return call()
  }
  return {
    root: disk.root,
    create: (path) => at('create', path, async () => gatedFile(await disk.create(path), at)),
    stat: (path) => at('stat', path, () => disk.stat(path)),
    read: (path, maxBytes) => at('read', path, () => disk.read(path, maxBytes)),
    hash: (path, signal) => at('hash', path, () => disk.hash(path, signal)),
    async *chunks(path, signal) {
      yield* await at('chunks', path, () => disk.chunks(path, signal))
    },
    makeFolder: (path) => at('makeFolder', path, () => disk.makeFolder(path)),
    link: (from, to) => at('link', to, () => disk.link(from, to)),
    rename: (from, to) => at('rename', `${from} → ${to}`, () => disk.rename(from, to)),
    unlink: (path) => at('unlink', path, () => disk.unlink(path)),
    syncFile: (path) => at('syncFile', path, () => disk.syncFile(path)),
    syncFolder: (path) => at('syncFolder', path, () => disk.syncFolder(path)),
    list: (path) => at('list', path, () => disk.list(path)),
    room: () => at('room', '', () => disk.room()),
  }
}

type At = <T>(name: string, path: string, call: () => T | Promise<T>) => Promise<T>

function gatedFile(file: NewFile, at: At): NewFile {
  return {
    path: file.path,
    isDirect: file.isDirect,
    get sizeBytes() {
      return file.sizeBytes
    },
    write: (chunk) => at('write', file.path, () => file.write(chunk)),
    readBack: (written, start) => at('readBack', file.path, () => file.readBack(written, start)),
    seal: (mode) => at('seal', file.path, () => file.seal(mode)),
    close: () => at('close', file.path, () => file.close()),
  }
}
