import { AppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'

/**
 * Free space of a disk, with what downloads under way are still going to write taken off. Others write there too, so it is
 * looked at again before each claim and each download, and after every so many bytes written.
 */
export interface Space {
  /** Before anything is claimed. @throws DISK_LOW when less is free than is to stay free */
  assertRoom(): Promise<void>
  /** For one download, beyond what is to stay free. @throws DISK_LOW, OBJECT_TOO_LARGE before a single byte is fetched */
  reserve(sizeBytes: number): Promise<Reservation>
  /** For a copy that ends work in hand: it may take what is to stay free, if it fits. @throws as {@link reserve} */
  reserveCopy(sizeBytes: number): Promise<Reservation>
  state(): Promise<SpaceState>
}

export interface Reservation {
  /**
   * These bytes are on the disk now and no longer only promised.
   *
   * @throws DISK_LOW when others took so much meanwhile that what is in hand no longer fits
   */
  wrote(sizeBytes: number): Promise<void>
  /** These bytes were taken off the disk again, to be written anew. */
  discarded(sizeBytes: number): void
  end(): void
}

/** Bytes all. */
export interface SpaceState {
  freeBytes: number
  totalBytes: number
  /** What downloads of this process are still going to write. */
  reservedBytes: number
  /** What is to stay free. */
  minBytes: number
  /** What the last download that was refused needs besides; 0 for none. */
  neededBytes: number
  /** Nothing is claimed, or the last download that was refused would be refused again. */
  low: boolean
}

export interface SpaceOptions {
  /** What is to stay free of a disk of so many bytes. */
  minBytesOf: (totalBytes: number) => number
  /** Never more than half of what is to stay free. */
  checkEveryBytes: number
  /** Monotonic milliseconds. */
  now: () => number
}

/** Left for sidecars, folders and whoever else writes here, whatever the settings are. */
const MARGIN_BYTES = 1024 * 1024
/** For so long a refused download counts; by then its row may be approved no more. */
const REFUSED_FOR_MS = 24 * 3_600_000

const defaults: SpaceOptions = {
  minBytesOf: () => 0,
  checkEveryBytes: Number.POSITIVE_INFINITY,
  now: () => performance.now(),
}

export function createSpace(disk: Disk, options: Partial<SpaceOptions> = {}): Space {
  const { minBytesOf, checkEveryBytes, now } = { ...defaults, ...options }
  const isOn = minBytesOf(Number.MAX_SAFE_INTEGER) > 0
  let reserved = 0
  let unlooked = 0
  let lookEvery = checkEveryBytes
  let refused = { bytes: 0, at: Number.NEGATIVE_INFINITY }

  const look = async (): Promise<SpaceState> => {
    unlooked = 0
    const { freeBytes, totalBytes } = await disk.room()
    const minBytes = Math.max(MARGIN_BYTES, minBytesOf(totalBytes))
    if (isOn) lookEvery = Math.min(checkEveryBytes, minBytes / 2)
    const neededBytes = now() - refused.at < REFUSED_FOR_MS ? refused.bytes : 0
    const low = freeBytes < reserved + minBytes + neededBytes
    return { freeBytes, totalBytes, reservedBytes: reserved, minBytes, neededBytes, low }
  }
  const refuse = (state: SpaceState, { needed, floor }: { needed: number; floor: number }) => {
    refused = { bytes: needed, at: now() }
    return tooLittle(disk, state, reserved + floor)
  }

  const promise = async (
    sizeBytes: number,
    { floorOf, needed }: { floorOf: (state: SpaceState) => number; needed: number },
  ): Promise<Reservation> => {
    let promised = sizeBytes
    reserved += promised
    const keep = (bytes: number) => {
      const less = Math.min(bytes, promised)
      promised -= less
      reserved -= less
    }
    const wrote = async (bytes: number) => {
      keep(bytes)
      unlooked += bytes
      if (unlooked < lookEvery) return
      const state = await look()
      if (state.freeBytes < reserved + MARGIN_BYTES)
        throw refuse(state, { needed: sizeBytes, floor: MARGIN_BYTES })
    }
    const discarded = (bytes: number) => {
      promised += bytes
      reserved += bytes
    }
    const end = () => keep(promised)
    try {
      const state = await look()
      const floor = floorOf(state)
      // Remembered by nobody: no room would ever be enough.
      if (sizeBytes + MARGIN_BYTES > state.totalBytes) throw tooLarge(disk, state, sizeBytes)
      if (state.freeBytes < reserved + floor) throw refuse(state, { needed, floor })
      if (needed >= refused.bytes) refused = { bytes: 0, at: Number.NEGATIVE_INFINITY }
    } catch (error) {
      end()
      throw error
    }
    return { wrote, discarded, end }
  }
  return {
    async assertRoom() {
      if (!isOn) return
      const state = await look()
      const needed = reserved + state.minBytes
      if (state.freeBytes < needed) throw tooLittle(disk, state, needed)
    },
    reserve: (sizeBytes) =>
      promise(sizeBytes, { floorOf: ({ minBytes }) => minBytes, needed: sizeBytes }),
    // Refused, its download is removed, too, and has to be made again.
    reserveCopy: (sizeBytes) =>
      promise(sizeBytes, { floorOf: () => MARGIN_BYTES, needed: 2 * sizeBytes }),
    state: look,
  }
}

function tooLittle(disk: Disk, { freeBytes }: SpaceState, neededBytes: number): AppError {
  return new AppError(
    'DISK_LOW',
    `${disk.root} has ${freeBytes} bytes free, ${neededBytes} are needed`,
  )
}

function tooLarge(disk: Disk, { totalBytes }: SpaceState, sizeBytes: number): AppError {
  return new AppError(
    'OBJECT_TOO_LARGE',
    `the object has ${sizeBytes} bytes, all of the disk of ${disk.root} has ${totalBytes}`,
  )
}
