import { type AdminAction, closeAction, enterAction } from '../db/admin-actions.ts'
import type { Database } from '../db/connect.ts'
import { requestRun } from '../db/runs.ts'
import { acknowledgeItem, tryAgain, type Wanted, wantReading } from '../db/wishes.ts'
import { AppError, toAppError } from '../errors.ts'
import { ITEM_STATES } from '../item-states.ts'
import type { Run, RunMode } from '../runs.ts'
import type { AdminParts, Revoked } from './parts.ts'

/** Who asks for something. */
export type Actor = Pick<AdminAction, 'actor' | 'client'>

/**
 * Enters what is done before it is done, and then how it ended: nothing changes that no row tells of.
 *
 * @param action.learnedOf what of the result belongs to the details
 */
export async function audited<Result>(
  database: Database,
  { learnedOf, ...action }: AdminAction & { learnedOf?: (done: Result) => AdminAction['details'] },
  work: () => Promise<Result>,
): Promise<Result> {
  const id = await enterAction(database, action)
  try {
    const result = await work()
    await closeAction(database, id, { outcome: 'done', learned: learnedOf?.(result) ?? {} })
    return result
  } catch (error) {
    await closeAction(database, id, { outcome: toAppError(error).code })
    throw error
  }
}

/**
 * Asks for a sync, which a node that syncs begins within seconds.
 *
 * @returns the run that is asked for
 * @throws ACTION_REFUSED where no node would begin it
 */
export async function syncNow(
  { database, node, mode }: Pick<AdminParts, 'database' | 'node' | 'mode'>,
  actor: Actor,
): Promise<Run> {
  requireLive(mode, 'no run that is asked for is begun')
  const action = { ...actor, action: 'sync', mediaId: null, details: {} }
  return audited(database, action, () => requestRun(database, { job: 'sync', mode, node }))
}

/**
 * Has a medium tried again at once that only waits for its time.
 *
 * What was held or rejected is not: the next look would find the same object under the same approval. A new approval starts
 * it afresh (docs/safety.md, "States"), which only the backend can give.
 *
 * @throws ACTION_REFUSED with what a person does instead; NOT_FOUND when nothing of it was begun
 */
export async function retry(database: Database, actor: Actor, mediaId: number): Promise<void> {
  const action = { ...actor, action: 'retry', mediaId, details: {} }
  await audited(database, action, async () => {
    const found = known(await tryAgain(database, mediaId), mediaId)
    if (!found.done) throw refusalOf(found, mediaId)
  })
}

function refusalOf({ state, leased }: Wanted, mediaId: number): AppError {
  if (leased)
    return refused(`a worker has media ${mediaId} in hand`, 'nothing to do: see what comes of it')
  const inWork = state === 'claimed' || state === 'publishing' || state === 'withdrawing'
  if (inWork)
    return refused(`media ${mediaId} is in the middle of the work`, 'the next run goes on with it')
  return refused(
    `media ${mediaId} is ${state}: a retry would change nothing`,
    ITEM_STATES[state].sentence,
  )
}

/** Takes a link back. What was given may be the token itself, which is entered nowhere. */
export function takeBack(
  database: Database,
  actor: Actor,
  { keepMs, revoke }: { keepMs: number | null; revoke: () => Promise<Revoked> },
): Promise<Revoked> {
  const details = { keepSeconds: keepMs === null ? null : keepMs / 1_000 }
  const action = { ...actor, action: 'revoke', mediaId: null, details }
  return audited(database, { ...action, learnedOf: (done) => ({ ...done }) }, revoke)
}

/** A wish that nobody would come to is not taken. */
function requireLive(mode: RunMode, what: string): void {
  if (mode !== 'live') throw refused(`MODE is ${mode}: ${what}`, 'it is done once MODE is live')
}

function refused(message: string, hint: string): AppError {
  return new AppError('ACTION_REFUSED', message, { hint })
}

/**
 * Has the scrub read a medium's archived file before all others.
 *
 * @throws NOT_FOUND when none of it is archived; ACTION_REFUSED where there is no scrub
 */
export async function verifySoon(
  { database, mode, scrubs }: Pick<AdminParts, 'database' | 'mode' | 'scrubs'>,
  actor: Actor,
  mediaId: number,
): Promise<void> {
  requireLive(mode, 'no file is read again')
  const action = { ...actor, action: 'verify', mediaId, details: {} }
  await audited(database, action, async () => {
    if (!scrubs)
      throw refused(
        'SCRUB_PERIOD is 0: no file is read again by itself',
        `"strongroom verify --media ${mediaId}" reads this one now`,
      )
    if (!(await wantReading(database, mediaId))?.done)
      throw new AppError('NOT_FOUND', `nothing of media ${mediaId} is in the archive`, {
        hint: `"strongroom why ${mediaId}" says what became of it`,
      })
  })
}

/**
 * Notes that a person has seen what needs one; it counts again once its state changes.
 *
 * @throws NOT_FOUND, ACTION_REFUSED for what needs nobody
 */
export async function acknowledge(
  database: Database,
  actor: Actor,
  { mediaId, note }: { mediaId: number; note: string | null },
): Promise<void> {
  const action = { ...actor, action: 'acknowledge', mediaId, details: { note } }
  await audited(database, action, async () => {
    const { done, state } = known(await acknowledgeItem(database, { mediaId, note }), mediaId)
    if (!done) throw refused(`media ${mediaId} is ${state}: it needs nobody`, 'nothing to do')
  })
}

function known(found: Wanted | null, mediaId: number): Wanted {
  if (found !== null) return found
  throw new AppError('NOT_FOUND', `nothing of media ${mediaId} was begun`, {
    hint: `"strongroom why ${mediaId}" says whether it is approved; the next run takes what is`,
  })
}
