import type { MovableFile, MovedFile } from '../db/second-files.ts'
import { DOUBTS_ALLOWED } from '../storage/one-key.ts'
import type { SeenFile } from '../storage/removal.ts'
import type { MoveOutcome } from '../sync/move.ts'
import type { Done, Pass } from './pass.ts'

/** Archived files that may be moved to the second bucket, as one looks at them. */
export interface MovingPlanParts {
  /** Long enough archived, the longest ago first, after the one given; none ends it. */
  movable: (after: MovableFile | null) => Promise<MovableFile[]>
  /** Moved, and perhaps still here, in the order of their items, after the one given; none ends it. */
  inBoth: (after: number) => Promise<MovedFile[]>
  see: (path: string) => Promise<SeenFile | null>
  /** Where a file goes, or has gone. */
  placeOf: (path: string) => string
}

export interface MovingParts extends MovingPlanParts {
  /** @returns bytes that are free now, or why the file stays; outages are thrown */
  move: (file: MovableFile, signal: AbortSignal) => Promise<MoveOutcome>
  finish: (file: MovedFile, signal: AbortSignal) => Promise<MoveOutcome>
}

export interface PlannedMove {
  item: number
  mediaId: number
  path: string
  bytes: number
  /** When it was archived; null for a move that was cut off, of which only the file here is left to be removed. */
  archivedAt: Date | null
  to: string
}

export interface MovingPlan {
  moves: PlannedMove[]
  freesBytes: number
}

/** What would be moved, the longest archived first, and no more than is needed; moves that were cut off are always ended. */
export async function planMoves(parts: MovingPlanParts, wantedBytes: number): Promise<MovingPlan> {
  const plan: MovingPlan = { moves: [], freesBytes: 0 }
  const add = (move: Omit<PlannedMove, 'to'>) => {
    plan.moves.push({ ...move, to: parts.placeOf(move.path) })
    plan.freesBytes += move.bytes
  }
  for await (const { item, mediaId, archivePath: path } of inBoth(parts)) {
    const seen = await parts.see(path).catch(() => null)
    if (seen !== null) add({ item, mediaId, path, bytes: seen.sizeBytes, archivedAt: null })
  }
  for await (const file of movable(parts)) {
    if (plan.freesBytes >= wantedBytes) break
    const { item, mediaId, archivePath: path, sizeBytes: bytes, archivedAt } = file
    add({ item, mediaId, path, bytes, archivedAt })
  }
  return plan
}

/** Ends moves that were cut off, all of them. @throws BUCKET_*, DB_*, VOLUME_*, DISK_SICK, CANCELLED */
export async function endMoves(parts: MovingParts, { done, signal }: Pass): Promise<void> {
  for await (const file of inBoth(parts)) {
    signal.throwIfAborted()
    note(done, file.archivePath, await parts.finish(file, signal))
  }
}

/** Moves files until the pass is over; for each that stays the next one goes. @throws as {@link endMoves} */
export async function moveOldest(
  parts: MovingParts,
  { done, signal, isOver }: Pass,
): Promise<void> {
  let doubts = 0
  for await (const file of movable(parts)) {
    if (await isOver()) return
    const outcome = await parts.move(file, signal)
    note(done, file.archivePath, outcome)
    const doubt = 'kept' in outcome ? outcome.doubt : undefined
    doubts = doubt === undefined ? 0 : doubts + 1
    if (doubt !== undefined && doubts === DOUBTS_ALLOWED) throw doubt
  }
}

function note(done: Done, path: string, outcome: MoveOutcome): void {
  if ('kept' in outcome) {
    done.kept.push({ path, reason: outcome.kept })
    return
  }
  const files = outcome.bytes > 0 ? 1 : 0
  done.files += files
  done.moved += files
  done.bytes += outcome.bytes
}

async function* movable(parts: MovingPlanParts): AsyncGenerator<MovableFile> {
  let page = await parts.movable(null)
  while (page.length > 0) {
    yield* page
    page = await parts.movable(page.at(-1) ?? null)
  }
}

async function* inBoth(parts: MovingPlanParts): AsyncGenerator<MovedFile> {
  let page = await parts.inBoth(0)
  while (page.length > 0) {
    yield* page
    page = await parts.inBoth(page.at(-1)?.item ?? 0)
  }
}
