import type { FileHandle } from 'node:fs/promises'
import { AppError, systemCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Sidecar } from '../sidecar.ts'
import type { Located, Locator } from './locate.ts'

/** An open file in somebody's hands, who releases it once. */
export interface OpenFile {
  readonly file: FileHandle
  readonly sidecar: Sidecar
  /** All of its bytes, where they are few and were read before. */
  bytes: Buffer | null
  /** Takes the whole contents of a small file, for those who ask later; ignored where there is no room. */
  keep(bytes: Buffer): void
  release(): void
}

export interface OpenFiles {
  /** @throws what the locator throws */
  acquire(archivePath: string, mediaId: number): OpenFile | Promise<OpenFile>
  /** Closes what nobody asked for in the last ten seconds; happens by itself as well. */
  sweep(): Promise<void>
  /** Closes what nobody uses now and, as soon as they are released, all others; nothing is kept from then on. */
  close(): Promise<void>
}

/** How old the last look at a file and its sidecar may be when a request comes; after that both are looked at first. */
const maxAgeMs = 5_000
/** A descriptor that nobody asked for in this time is closed, so that an archive can be unmounted. */
const idleMs = 10_000
const sweepMs = 2_500

interface Entry extends OpenFile {
  archivePath: string
  stamp: string
  /** By `clock`, when the last look began. */
  lookedAt: number
  usedAt: number
  users: number
  dropped: boolean
  look: Promise<void> | null
}

/**
 * Keeps files open between requests, with what their sidecars say. What was moved, replaced, given another sidecar or
 * taken away with its disk is no longer served from here once the last look at it is five seconds old; the look waits
 * for the disk as opening does and fails as opening would.
 *
 * @param place.clock milliseconds, never going back
 */
export function createOpenFiles(place: {
  locator: Pick<Locator, 'locate' | 'stampOf'>
  log: Log
  maxFiles?: number
  maxBytes?: number
  clock?: () => number
}): OpenFiles {
  const { locator, log } = place
  const { maxFiles = 4096, maxBytes = 32 * 1024 * 1024, clock = () => performance.now() } = place
  const entries = new Map<string, Entry>()
  const closing = new Set<Promise<void>>()
  const opening = new Map<string, Promise<Entry>>()
  let keptBytes = 0
  let closed = false
  let sweeper: NodeJS.Timeout | null = null

  async function closeFile(entry: Entry): Promise<void> {
    try {
      await entry.file.close()
    } catch (error) {
      // Nothing was written; the descriptor is gone all the same.
      log.warn({ archivePath: entry.archivePath, error }, 'a file could not be closed')
    }
  }

  function drop(entry: Entry): void {
    if (entry.dropped) return
    entry.dropped = true
    if (entries.get(entry.archivePath) === entry) entries.delete(entry.archivePath)
    if (entry.bytes !== null) keptBytes -= entry.bytes.length
    if (entry.users === 0) track(closeFile(entry))
  }

  function track(work: Promise<void>): void {
    closing.add(work)
    void work.finally(() => closing.delete(work))
  }

  async function sweep(): Promise<void> {
    const before = clock() - idleMs
    for (const entry of entries.values()) {
      if (entry.users === 0 && entry.usedAt < before) drop(entry)
    }
    if (entries.size === 0) {
      clearInterval(sweeper ?? undefined)
      sweeper = null
    }
    await Promise.all(closing)
  }

  /** The least recently used go first; a map keeps the order in which entries were last put into it. */
  function makeRoom(limit: number): void {
    for (const entry of entries.values()) {
      if (entries.size <= limit) return
      if (entry.users === 0) drop(entry)
    }
  }

  function enter(archivePath: string, located: Located, lookedAt: number): Entry {
    const entry: Entry = {
      ...located,
      archivePath,
      lookedAt,
      usedAt: lookedAt,
      bytes: null,
      users: 1,
      dropped: false,
      look: null,
      keep(bytes) {
        if (entry.bytes !== null || entry.dropped || keptBytes + bytes.length > maxBytes) return
        entry.bytes = bytes
        keptBytes += bytes.length
      },
      release() {
        entry.users -= 1
        if (entry.users === 0 && entry.dropped) track(closeFile(entry))
      },
    }
    if (closed) entry.dropped = true
    else {
      // Its sidecar was replaced between two openings: nobody would find the first one to close it.
      const before = entries.get(archivePath)
      if (before !== undefined) drop(before)
      entries.set(archivePath, entry)
      makeRoom(maxFiles)
      sweeper ??= setInterval(() => void sweep(), sweepMs).unref()
    }
    return entry
  }

  async function open(archivePath: string, mediaId: number): Promise<Entry> {
    const lookedAt = clock()
    try {
      return enter(archivePath, await locator.locate(archivePath, mediaId), lookedAt)
    } catch (error) {
      if (!isOutOfDescriptors(error) || entries.size === 0) throw error
      makeRoom(0)
      await Promise.all(closing)
      return enter(archivePath, await locator.locate(archivePath, mediaId), lookedAt)
    }
  }

  /** Many who ask for one file at once cause one opening; who asks with another token's id is judged for himself. */
  function openTogether(archivePath: string, mediaId: number): Promise<Entry> {
    const key = `${mediaId}/${archivePath}`
    const known = opening.get(key)
    if (known !== undefined) return known
    const opened = open(archivePath, mediaId)
      .then((entry) => {
        // Held until everybody who waits for it has taken it.
        setImmediate(() => entry.release())
        return entry
      })
      .finally(() => opening.delete(key))
    opening.set(key, opened)
    return opened
  }

  /** Drops the entry unless file and sidecar are still the ones that were opened. */
  function lookAgain(entry: Entry): Promise<void> {
    entry.look ??= look(entry).finally(() => {
      entry.look = null
    })
    return entry.look
  }

  async function look(entry: Entry): Promise<void> {
    const lookedAt = clock()
    try {
      if ((await locator.stampOf(entry.archivePath)) === entry.stamp) entry.lookedAt = lookedAt
      else drop(entry)
    } catch (error) {
      drop(entry)
      throw error
    }
  }

  function use(entry: Entry, mediaId: number): Entry {
    if (entry.sidecar.media_id !== mediaId) {
      throw new AppError('TOKEN_FOR_ANOTHER_FILE', 'the token is for another file')
    }
    const at = clock()
    // Often enough for the order of the map, and not with each of a thousand requests in a second.
    if (!entry.dropped && at - entry.usedAt > 100) {
      entries.delete(entry.archivePath)
      entries.set(entry.archivePath, entry)
      entry.usedAt = at
    }
    entry.users += 1
    return entry
  }

  async function acquireAnew(archivePath: string, mediaId: number): Promise<Entry> {
    const askedAt = clock()
    for (;;) {
      const known = entries.get(archivePath)
      if (known === undefined) return use(await openTogether(archivePath, mediaId), mediaId)
      if (askedAt - known.lookedAt < maxAgeMs) return use(known, mediaId)
      // A look that began long before this request, on a slow disk, says too little.
      await lookAgain(known)
    }
  }

  return {
    acquire(archivePath, mediaId) {
      const known = entries.get(archivePath)
      const isFresh = known !== undefined && clock() - known.lookedAt < maxAgeMs
      return isFresh ? use(known, mediaId) : acquireAnew(archivePath, mediaId)
    },
    sweep,
    async close() {
      closed = true
      clearInterval(sweeper ?? undefined)
      for (const entry of entries.values()) drop(entry)
      // What was opened in this very turn is held until the next.
      await new Promise((resolve) => setImmediate(resolve))
      await Promise.all(closing)
    },
  }
}

function isOutOfDescriptors(error: unknown): boolean {
  const code = error instanceof AppError ? systemCode(error.cause) : null
  return code === 'EMFILE' || code === 'ENFILE'
}
