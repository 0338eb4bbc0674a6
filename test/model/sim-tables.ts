import { AppError } from '../../src/errors.ts'
import type { ItemState } from '../../src/item-states.ts'
import type { Intent, Item, MediaKind } from '../../src/media.ts'

/** A row of the backend's media table; times are milliseconds of the simulated clock. */
export interface MediaRecord {
  id: number
  userId: number | null
  title: string | null
  filename: string | null
  contentType: MediaKind | null
  mimeType: string | null
  fileSize: number | null
  objectKey: string
  status: string
  approvedAt: number | null
  deleted: boolean
  archivePath: string | null
  archivedAt: number | null
  checksum: string | null
}

/** A row of `strongroom.items`. */
export interface ItemRecord {
  id: number
  mediaId: number
  generation: number
  epoch: number
  state: ItemState
  userId: number | null
  title: string | null
  filename: string | null
  contentType: MediaKind | null
  mimeType: string | null
  declaredBytes: number | null
  objectKey: string
  approvedAt: number
  leaseOwner: string | null
  leaseUntil: number | null
  attempts: number
  nextAttemptAt: number
  archivePath: string | null
  /** The rest of the intent outlives its path. */
  intent: Omit<Intent, 'archivePath'> | null
  errorCode: string | null
  errorMessage: string | null
  archivedAt: number | null
  releaseDue: number | null
  releasedAt: number | null
  damage: string | null
  damagedAt: number | null
  verifiedAt: number | null
}

export interface AuditRecord {
  mediaId: number
  action: string
  details: Record<string, unknown>
}

export interface ArchiveRecord {
  id: string
  initialised: boolean
  sick: string | null
  releasePaused: { reason: string | null } | null
  healPaused: { reason: string } | null
}

/** All that the database holds; plain data, so that a copy of it is what a crash leaves: everything committed. */
export interface SimTables {
  media: MediaRecord[]
  items: ItemRecord[]
  /** Used up by every insert, by one that becomes an update too. */
  lastItemId: number
  /** Every path that an intent ever named; for judges only. */
  named: string[]
  audit: AuditRecord[]
  archive: ArchiveRecord | null
  /** What each bucket was seen to honour. */
  buckets: Record<string, boolean>
}

export function emptyTables(): SimTables {
  return { media: [], items: [], lastItemId: 0, named: [], audit: [], archive: null, buckets: {} }
}

/** Called before a statement takes effect and before its answer arrives; it may halt (never settle) or throw. */
export type StatementGate = (
  statement: string,
  moment: 'before' | 'after',
) => undefined | 'lost' | Promise<undefined | 'lost'>

/**
 * How one client's statements run: gated on both sides. The gate may answer `lost` to have the statement repeated, as the
 * product's own client does until the database has spoken.
 */
export type RunStatement = <T>(name: string, effect: () => T) => Promise<T>

export function gatedStatements(gate: StatementGate): RunStatement {
  return async (name, effect) => {
    for (;;) {
      await gate(name, 'before')
      const answer = effect()
      if ((await gate(name, 'after')) !== 'lost') return answer
    }
  }
}

export function answerLost(statement: string): AppError {
  return new AppError('DB_UNKNOWN', `no answer to "${statement}"`)
}

export function toItem(row: ItemRecord): Item {
  const { id, generation, epoch, state, attempts, archivePath, intent } = row
  return {
    id,
    generation,
    epoch,
    state,
    attempts,
    lastError: row.errorMessage,
    media: {
      mediaId: row.mediaId,
      userId: row.userId,
      title: row.title,
      filename: row.filename,
      contentType: row.contentType,
      mimeType: row.mimeType,
      declaredBytes: row.declaredBytes,
      objectKey: row.objectKey,
      approvedAt: new Date(row.approvedAt),
    },
    intent: archivePath === null || intent === null ? null : { ...intent, archivePath },
    archivedAt: row.archivedAt === null ? null : new Date(row.archivedAt),
    damaged: row.damage !== null,
  }
}
