import type { Archives } from '../../src/db/archives.ts'
import type { Held, Items, PutBack } from '../../src/db/items.ts'
import type { ItemState } from '../../src/item-states.ts'
import type { Intent } from '../../src/media.ts'
import {
  claimAbandoned,
  claimApproved,
  claimDue,
  confirmRelease,
  dueElsewhere,
  isSameVersion,
  latestItem,
  newestSource,
  type SimWorker,
} from './sim-claims.ts'
import { claimFiled, noteDamage, settleHeal } from './sim-heals.ts'
import { recordArchived, recordRejected, recordReleased } from './sim-records.ts'
import {
  type ItemRecord,
  type MediaRecord,
  type RunStatement,
  type SimTables,
  toItem,
} from './sim-tables.ts'

/**
 * The database's writes in memory: each takes effect at once and whole, and nothing that was committed is ever lost. That
 * it answers like the SQL is proved by one suite over both (test/contract/items.test.ts).
 */
export function createSimItems(worker: SimWorker, run: RunStatement): Items {
  const { tables, now } = worker
  const change = (name: string, item: Held, effect: (row: ItemRecord) => boolean) =>
    run(name, () => {
      const row = current(tables, item)
      return row !== null && effect(row)
    })
  return {
    claim: (limit, held) => run('claim', () => claimApproved(worker, limit, held).map(toItem)),
    claimAbandoned: (limit, held, dueBy = null) =>
      run('claimAbandoned', () => claimAbandoned(worker, { limit, held, dueBy }).map(toItem)),
    claimDue: (limit, held, dueBy = null) =>
      run('claimDue', () =>
        claimDue(worker, { limit, held, dueBy }).map(({ item, begun }) => ({
          ...toItem(item),
          begun,
        })),
      ),
    dueElsewhere: () => run('dueElsewhere', () => dueElsewhere(worker)),
    newestSource: () => run('newestSource', () => newestSource(worker)),
    heartbeat: (held) => run('heartbeat', () => heartbeat(worker, held)),
    commitIntent: (item, intent) => run('commitIntent', () => commitIntent(worker, item, intent)),
    record: (item) => run('record', () => recordArchived(worker, item)),
    reject: (item, verdict) => run('reject', () => recordRejected(worker, item, verdict)),
    putBack: (item, to) => change('putBack', item, (row) => putBack(worker, row, to)),
    restart: (item) =>
      change('restart', item, (row) => {
        if (!isIn(row, 'publishing', 'waiting')) return false
        endLease(row)
        Object.assign(row, { state: 'waiting', archivePath: null, nextAttemptAt: now() })
        return true
      }),
    yield: (item, { error, delayMs, attempts }) =>
      change('yield', item, (row) => {
        if (!isIn(row, 'publishing', 'withdrawing', 'releasing')) return false
        endLease(row)
        row.nextAttemptAt = now() + delayMs
        row.attempts = attempts ?? row.attempts
        return explain(row, error)
      }),
    finishWithdrawal: (item, movedTo) =>
      change('finishWithdrawal', item, (row) => {
        if (!isIn(row, 'withdrawing', 'withdrawn')) return false
        endLease(row)
        const errorMessage = `the copy lies in ${movedTo}`
        Object.assign(row, { state: 'withdrawn', archivePath: null, errorMessage })
        return true
      }),
    confirmRelease: (item) => run('confirmRelease', () => confirmRelease(worker, item)),
    released: (item, outcome) => run('released', () => recordReleased(worker, item, outcome)),
    keepSource: (item, to) =>
      change('keepSource', item, (row) => {
        if (!isIn(row, 'releasing', to.state)) return false
        endLease(row)
        Object.assign(row, { state: to.state, releaseDue: now() + to.delayMs })
        if (to.damage !== undefined) noteDamage(row, to.damage, now())
        return explain(row, to.error)
      }),
    claimFiled: (id, held) =>
      run('claimFiled', () => {
        const row = claimFiled(worker, id, held)
        return row && toItem(row)
      }),
    settleHeal: (item, verdict) =>
      change('settleHeal', item, (row) => settleHeal(row, verdict, now())),
    current: (ids) =>
      run('current', () => {
        const rows = tables.items.filter(({ id }) => ids.includes(id))
        return new Map(
          rows.map(({ id, epoch, state, leaseUntil }) => [
            id,
            { epoch, state, leased: leaseUntil !== null && leaseUntil >= now() },
          ]),
        )
      }),
    closeUnapproved: () => run('closeUnapproved', () => closeUnapproved(worker)),
    markReapproved: () => run('markReapproved', () => markReapproved(worker)),
    markReleasedBefore: () => run('markReleasedBefore', () => markReleasedBefore(worker)),
  }
}

export function current(tables: SimTables, { id, epoch }: Held): ItemRecord | null {
  return tables.items.find((row) => row.id === id && row.epoch === epoch) ?? null
}

function isIn(row: ItemRecord, ...states: ItemState[]): boolean {
  return states.includes(row.state)
}

function endLease(row: ItemRecord): void {
  row.leaseOwner = null
  row.leaseUntil = null
}

function explain(row: ItemRecord, error: { code: string; message: string } | null): true {
  row.errorCode = error?.code ?? null
  row.errorMessage = error?.message ?? null
  return true
}

function heartbeat({ tables, now, leaseMs }: SimWorker, held: readonly Held[]) {
  const alive = held
    .map((item) => current(tables, item))
    .filter((row) => row !== null && row.leaseOwner !== null)
    .map((row) => Object.assign(row as ItemRecord, { leaseUntil: now() + leaseMs }).id)
  return { alive: new Set(alive), databaseTimeMs: now() }
}

function commitIntent({ tables, now, leaseMs }: SimWorker, item: Held, intent: Intent) {
  const { archivePath, ...rest } = intent
  if (tables.items.some((row) => row.archivePath === archivePath && row.id !== item.id))
    return 'taken'
  const row = current(tables, item)
  if (row === null || !isIn(row, 'claimed', 'publishing')) return 'stale'
  const leaseUntil = now() + leaseMs
  Object.assign(row, { state: 'publishing', archivePath, intent: rest, leaseUntil })
  tables.named.push(archivePath)
  return 'committed'
}

function putBack({ now }: SimWorker, row: ItemRecord, to: PutBack): boolean {
  if (!isIn(row, 'claimed', to.state)) return false
  endLease(row)
  if (to.state !== 'held' && to.burn && row.state !== to.state) row.attempts += 1
  row.state = to.state
  row.nextAttemptAt = now() + (to.state === 'held' ? 0 : to.delayMs)
  return explain(row, to.error)
}

function closeUnapproved({ tables, now }: SimWorker): number[] {
  const isApproved = (mediaId: number) =>
    tables.media.some(
      ({ id, status, deleted }) => id === mediaId && status === 'approved' && !deleted,
    )
  const closed = tables.items.filter(
    (row) =>
      isIn(row, 'claimed', 'waiting', 'missing') &&
      (row.leaseUntil === null || row.leaseUntil < now()) &&
      !isApproved(row.mediaId),
  )
  for (const row of closed) {
    endLease(row)
    Object.assign(row, { state: 'withdrawn', epoch: row.epoch + 1, archivePath: null })
    row.errorCode = null
    row.errorMessage = 'the media row is no longer approved'
  }
  return closed.map(({ mediaId }) => mediaId)
}

function markReapproved({ tables }: SimWorker): number[] {
  const again = tables.media.flatMap((media) => {
    const item = latestItem(tables, media.id)
    if (media.status !== 'approved' || media.deleted || item === null) return []
    if (!isIn(item, 'archived', 'releasing', 'released') || !isSameVersion(item, media)) return []
    return [{ media, item }]
  })
  for (const { media, item } of again) setArchived(media, item)
  return again.map(({ media }) => media.id)
}

function markReleasedBefore({ tables, now }: SimWorker): number[] {
  const again = tables.media.flatMap((media) => {
    const missing = latestItem(tables, media.id)
    if (media.status !== 'approved' || media.deleted || missing === null) return []
    const item = releasedBefore(tables, missing, now())
    return item === null || !isSameVersion(missing, media) ? [] : [{ media, item, missing }]
  })
  for (const { media, item, missing } of again) {
    Object.assign(missing, { state: 'withdrawn', epoch: missing.epoch + 1, errorCode: null })
    missing.errorMessage = `the same object is archived as item ${item.id}`
    setArchived(media, item)
  }
  return again.map(({ media }) => media.id)
}

function setArchived(media: MediaRecord, item: ItemRecord): void {
  media.status = 'archived'
  media.archivePath = item.archivePath
  media.archivedAt = item.archivedAt
  media.checksum = item.intent?.sha256 ?? null
}

/** What we released of a missing item's key, unless another item had something under that key in hand since. */
function releasedBefore({ items }: SimTables, item: ItemRecord, nowMs: number): ItemRecord | null {
  if (item.state !== 'missing' || (item.leaseUntil !== null && item.leaseUntil >= nowMs))
    return null
  const seen = items.filter(
    (row) =>
      row.mediaId === item.mediaId &&
      row.objectKey === item.objectKey &&
      (row.intent !== null || isIn(row, 'held', 'rejected')),
  )
  const [last] = seen.toSorted((a, b) => b.generation - a.generation)
  if (last?.state !== 'released' || last.declaredBytes !== item.declaredBytes) return null
  return last
}

export function createSimArchives(
  { tables, now }: Pick<SimWorker, 'tables' | 'now'>,
  run: RunStatement,
): Archives {
  return {
    find: () =>
      run('archives.find', () => {
        if (tables.archive === null) return null
        const { id, initialised, sick, releasePaused, healPaused } = tables.archive
        const at = new Date(now())
        return {
          id,
          initialised,
          sick: sick === null ? null : { at, reason: sick },
          releasePaused: releasePaused === null ? null : { at, ...releasePaused },
          healPaused: healPaused === null ? null : { at, ...healPaused },
        }
      }),
    insert: (id) =>
      run('archives.insert', () => {
        tables.archive ??= {
          id,
          initialised: false,
          sick: null,
          releasePaused: null,
          healPaused: null,
        }
      }),
    markInitialised: (id) =>
      run('archives.markInitialised', () => {
        if (tables.archive?.id === id) tables.archive.initialised = true
      }),
    accept: (id) =>
      run('archives.accept', () => {
        tables.archive ??= {
          id,
          initialised: true,
          sick: null,
          releasePaused: null,
          healPaused: null,
        }
        Object.assign(tables.archive, { id, initialised: true })
      }),
    latchSick: (reason) =>
      run('archives.latchSick', () => {
        if (tables.archive !== null) tables.archive.sick ??= reason
      }),
    clearSick: () =>
      run('archives.clearSick', () => {
        if (tables.archive !== null) tables.archive.sick = null
      }),
    pauseRelease: (reason) =>
      run('archives.pauseRelease', () => {
        if (tables.archive !== null)
          tables.archive.releasePaused = {
            reason: reason ?? tables.archive.releasePaused?.reason ?? null,
          }
      }),
    resumeRelease: () =>
      run('archives.resumeRelease', () => {
        if (tables.archive !== null) tables.archive.releasePaused = null
      }),
    pauseHealing: (reason) =>
      run('archives.pauseHealing', () => {
        if (tables.archive === null || tables.archive.healPaused !== null) return false
        tables.archive.healPaused = { reason }
        return true
      }),
    resumeHealing: () =>
      run('archives.resumeHealing', () => {
        if (tables.archive !== null) tables.archive.healPaused = null
      }),
    conditionalDelete: (bucketId) =>
      run('archives.conditionalDelete', () => tables.buckets[bucketId] ?? null),
    rememberConditionalDelete: (bucketId, honoured) =>
      run('archives.rememberConditionalDelete', () => {
        tables.buckets[bucketId] = honoured
      }),
  }
}
