import { AppError, type ErrorCode } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { crashedRoots } from './sim-crash.ts'
import {
  changeEntry,
  type Folder,
  type Inode,
  newFolder,
  newInode,
  placeOf,
  syncEntries,
  walk,
} from './sim-inodes.ts'
import {
  type SimGround,
  type SimOperation,
  simulatedNames,
  simulatedReads,
  simulatedSyncs,
} from './sim-operations.ts'

export type { SimOperation }

export interface SimEntry {
  kind: 'file' | 'folder'
  /** Empty for a folder. */
  content: Buffer
  inode: number
  links: number
  /** What `seal` set; 0 for a folder. */
  mode: number
}

/**
 * A disk in memory with the weakest durability that POSIX allows: contents are durable only after `seal` or `syncFile`,
 * names only after `syncFolder`, and whatever was not synced survives a crash in any subset.
 */
export interface SimDisk extends Disk {
  /** Operations begun so far, reads included. */
  readonly ops: number
  /** Called before each operation takes effect; what it throws is thrown there, and nothing happens. */
  onOp: ((name: SimOperation, path: string) => void | Promise<void>) | null
  linksRefused: boolean
  /** Room for contents; a write beyond it is cut short and refused with DISK_FULL. */
  capacityBytes: number
  readonly device: number
  /**
   * Makes the next such operation (on `path`, if given) fail once. A failed `write` leaves half of the chunk behind;
   * after a failed sync later syncs succeed, but what was unsynced then is never durable.
   */
  failNext(name: SimOperation, code: ErrorCode, path?: string): void
  /**
   * The disks that a power cut at this moment may leave: every subset of unsynced names, and each unsynced content
   * absent, empty, torn, zeroed or whole. Above `limit` states a sample that `seed` determines, extremes included.
   */
  crashStates(limit?: number, seed?: number): Iterable<SimDisk>
  /** A file as another program leaves it: seen whole, durable under its name, but empty. @returns its inode */
  putUnsynced(path: string, content: Buffer, mode: number): number
  /** Of the next write to `path` one bit becomes another, and nothing tells of it. */
  miswriteNext(path: string): void
  /** All that can be seen now, by path. */
  tree(): Map<string, SimEntry>
  /** Takes the volume away: an empty folder on another device shows in its place. */
  unmount(): void
  remount(): void
  /** What was written to the mount point while the volume was away. */
  beneath(): Map<string, SimEntry>
}

const VOLUME_DEVICE = 64
const BENEATH_DEVICE = 1

/** @param volume a tree that a crash left; empty by default */
export function createSimDisk(volume: Folder = newFolder()): SimDisk {
  const beneath = newFolder()
  const failures: PlannedFailure[] = []
  const miswrites = new Set<string>()
  let mounted = true
  let ops = 0
  const ground: SimGround = {
    top: () => (mounted ? volume : beneath),
    device: () => (mounted ? VOLUME_DEVICE : BENEATH_DEVICE),
    capacityBytes: () => disk.capacityBytes,
    linksRefused: () => disk.linksRefused,
    isMiswritten: (path) => miswrites.delete(path),
    async begin(name, path) {
      ops += 1
      await disk.onOp?.(name, path)
      return takeFailure(failures, name, path)
    },
  }
  const disk: SimDisk = {
    root: '/simulated',
    ...simulatedReads(ground),
    ...simulatedNames(ground),
    ...simulatedSyncs(ground),
    get ops() {
      return ops
    },
    get device() {
      return ground.device()
    },
    onOp: null,
    linksRefused: false,
    capacityBytes: Number.POSITIVE_INFINITY,
    failNext: (name, code, path) => {
      failures.push({ name, code, path: path ?? null })
    },
    *crashStates(limit = 512, seed = 1) {
      for (const left of crashedRoots(ground.top(), limit, seed)) yield createSimDisk(left)
    },
    putUnsynced: (path, content, mode) => putUnsynced(ground.top(), path, { content, mode }),
    miswriteNext: (path) => void miswrites.add(path),
    tree: () => treeOf(ground.top()),
    unmount: () => {
      mounted = false
    },
    remount: () => {
      mounted = true
    },
    beneath: () => treeOf(beneath),
  }
  return disk
}

function putUnsynced(top: Folder, path: string, facts: Pick<Inode, 'content' | 'mode'>): number {
  const { folder, name } = placeOf(top, path)
  const inode = Object.assign(newInode(), facts, { durable: Buffer.alloc(0) })
  changeEntry(folder, name, inode)
  syncEntries(folder, null)
  return inode.id
}

interface PlannedFailure {
  name: SimOperation
  code: ErrorCode
  path: string | null
}

function takeFailure(
  failures: PlannedFailure[],
  name: SimOperation,
  path: string,
): AppError | null {
  const index = failures.findIndex(
    (planned) => planned.name === name && (planned.path ?? path) === path,
  )
  const planned = failures.splice(index, index < 0 ? 0 : 1)[0]
  return planned ? new AppError(planned.code, `planned failure of ${name} on ${path}`) : null
}

const NOTHING = Buffer.alloc(0)

function treeOf(top: Folder): Map<string, SimEntry> {
  const entries = [...walk(top, '')]
  const links = new Map<Inode, number>()
  for (const [, entry] of entries) {
    if (entry.kind === 'file') links.set(entry, (links.get(entry) ?? 0) + 1)
  }
  return new Map(
    entries.map(([path, entry]): [string, SimEntry] => {
      const { kind, id: inode } = entry
      if (entry.kind === 'folder') {
        return [path, { kind, content: NOTHING, inode, links: 2, mode: 0 }]
      }
      const { content } = entry
      return [path, { kind, content, inode, links: links.get(entry) ?? 0, mode: entry.mode }]
    }),
  )
}
