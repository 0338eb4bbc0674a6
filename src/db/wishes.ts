/** What a person may ask for: each statement changes only what nobody works on. */
import type { ItemState } from '../item-states.ts'
import { isFiled } from './archived.ts'
import type { Database, Fragment, Sql } from './connect.ts'

/** The newest version of a medium, as far as a wish depends on it. */
export interface Wanted {
  item: number
  state: ItemState
  /** A worker has it in hand. */
  leased: boolean
  /** The wish was fulfilled. */
  done: boolean
}

/**
 * Has the newest version tried again at once, where it only waits for its time: `waiting` or `missing`, and under nobody's
 * lease. Whoever claims it at this moment wins: the row is judged again once its lock is free.
 *
 * @returns null when there is no version of it
 */
export async function tryAgain(database: Database, mediaId: number): Promise<Wanted | null> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      with newest as (${newest(sql, mediaId)}),
      moved as (
        update strongroom.items i set next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
        from newest where i.id = newest.id and i.state in ('waiting', 'missing')
          and (i.lease_until is null or i.lease_until < clock_timestamp())
        returning i.id)
      select newest.*, exists (select from moved) as done from newest`,
  )
  return row === undefined ? null : wanted(row)
}

/** Puts the newest version's file before all others that the scrub is to read. @returns null as above */
export async function wantReading(database: Database, mediaId: number): Promise<Wanted | null> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      with newest as (
        select id, state, coalesce(lease_until > clock_timestamp(), false) as leased
        from strongroom.items where media_id = ${mediaId} and ${isFiled(sql)} order by generation desc limit 1),
      moved as (
        update strongroom.items i set reading_wanted_at = clock_timestamp(), scrub_until = null
        from newest where i.id = newest.id and i.archive_path is not null returning i.id)
      select newest.*, exists (select from moved) as done from newest`,
  )
  return row === undefined ? null : wanted(row)
}

/** Notes that a person has seen the newest version in the state that it is in. @returns null as above */
export async function acknowledgeItem(
  database: Database,
  { mediaId, note }: { mediaId: number; note: string | null },
): Promise<Wanted | null> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      with newest as (${newest(sql, mediaId)}),
      seen as (
        insert into strongroom.acknowledgements as known (item_id, state, note)
        select id, state, ${note} from newest
        where state in ('waiting', 'missing', 'held', 'rejected', 'withdrawn', 'source_differs', 'lost')
        on conflict (item_id) do update set state = excluded.state, note = excluded.note, at = clock_timestamp()
        returning item_id)
      select newest.*, exists (select from seen) as done from newest`,
  )
  return row === undefined ? null : wanted(row)
}

/**
 * Whether a person has seen item `i` in the state that it is in, and, where its file is damaged, since that was noticed: what
 * was restored and is lost again counts anew.
 */
export function isAcknowledged(sql: Sql): Fragment {
  return sql`exists (select from strongroom.acknowledgements a
    where a.item_id = i.id and a.state = i.state and (i.damage is null or a.at >= coalesce(i.damaged_at, '-infinity')))`
}

interface Row {
  id: string
  state: ItemState
  leased: boolean
  done: boolean
}

function newest(sql: Sql, mediaId: number) {
  return sql`
    select id, state, coalesce(lease_until > clock_timestamp(), false) as leased
    from strongroom.items where media_id = ${mediaId} order by generation desc limit 1`
}

function wanted({ id, ...row }: Row): Wanted {
  return { item: Number(id), ...row }
}
