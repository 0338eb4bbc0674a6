/** Pages of items, each from an index: the tables may have ten million rows. */
import type { ItemState } from '../item-states.ts'
import type { MediaKind, ProbeFacts } from '../media.ts'
import type { Backend } from './backend.ts'
import { notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import {
  type HistoryRow,
  historyColumns,
  type ItemHistory,
  type MediaStatus,
  statusColumns,
  toHistory,
} from './history.ts'
import { isAcknowledged } from './wishes.ts'

/** The newest version of a medium, and what the backend says of it. */
export interface ListedItem extends ItemHistory {
  item: number
  mediaId: number
  /** Of title and file name the first {@link MOST_SHOWN} characters: users of the backend wrote them. */
  title: string | null
  filename: string | null
  contentType: MediaKind | null
  declaredBytes: number | null
  probe: ProbeFacts | null
  /** Since when it is in this state, or was last tried. */
  updatedAt: Date
  /** When a person said that he has seen it in this state. */
  acknowledgedAt: Date | null
  /** Null when the backend has no such row any more. */
  row: MediaStatus | null
}

export const MOST_SHOWN = 1_000

export interface ItemPage {
  /** Only these; null for all. */
  states: readonly ItemState[] | null
  /** Only what nobody has acknowledged in the state that it is in. */
  unseen: boolean
  /** Only items before this one, which are older. */
  before: number | null
  limit: number
}

/** Newest items first; of each medium only its newest version. */
export async function listItems(
  database: Database,
  backend: Backend,
  page: ItemPage,
): Promise<ListedItem[]> {
  const { states, before, limit } = page
  return readItems(database, backend, (sql) => {
    const rest = sql`${before === null ? sql`true` : sql`i.id < ${before}`}
      and ${isNewest(sql)} and ${page.unseen ? sql`not ${isAcknowledged(sql)}` : sql`true`}`
    if (states === null)
      return sql`select i.id from strongroom.items i where ${rest} order by i.id desc limit ${limit}`
    // Each state has its own place in the index: so each gives its newest, and the newest of all are taken.
    const ofEach = states.map(
      (state) => sql`
        (select i.id from strongroom.items i where i.state = ${literal(sql, state)} and ${rest}
          order by i.id desc limit ${limit})`,
    )
    return sql`select id from (${joined(sql, ofEach)}) found order by id desc limit ${limit}`
  })
}

/** Among so many of the newest items a word that is in use shows up; computing their words takes some 30 ms. */
const RECENT = 10_000

/**
 * Those whose title or file name has words that begin like all of `words`, newest first.
 *
 * PostgreSQL cannot know how many rows have a word that begins so. Left to itself it looks for ten of a word that nearly none
 * has from the newest row to the oldest, and from the index it would take all ten million of one that all have. So the newest
 * are looked through first, and only what is not found there comes from the index.
 */
export async function searchItems(
  database: Database,
  backend: Backend,
  { words, before, limit }: { words: readonly string[] } & Pick<ItemPage, 'before' | 'limit'>,
): Promise<ListedItem[]> {
  if (words.length === 0) return []
  const query = words.map((word) => `${word}:*`).join(' & ')
  return readItems(database, backend, (sql) => {
    const isBefore = before === null ? sql`true` : sql`i.id < ${before}`
    const hasWords = sql`
        to_tsvector('simple', regexp_replace(left(coalesce(i.title, ''), 200) || ' ' ||
          left(coalesce(i.filename, ''), 200), '[^[:alnum:]]+', ' ', 'g')) @@ to_tsquery('simple', ${query})`
    return sql`
        with recent as materialized (
          select id from (
            select * from strongroom.items i where ${isBefore} order by i.id desc limit ${RECENT}) i
          where ${hasWords} and ${isNewest(sql)}
          order by id desc limit ${limit}),
        indexed as materialized (
          select id, media_id, generation from strongroom.items i
          where ${hasWords} and ${isBefore} and (select count(*) from recent) < ${limit})
        select id from (
          select id from recent union select id from indexed i where ${isNewest(sql)}) found
        order by id desc limit ${limit}`
  })
}

/** What the words of a search are: letters and digits, as the index has them. */
export function wordsOf(text: string): string[] {
  return (
    text
      .slice(0, 200)
      .match(/[\p{L}\p{N}]+/gu)
      ?.slice(0, 8) ?? []
  )
}

/** The newest version of one medium, or of the one whose file has this path. */
export async function findItem(
  database: Database,
  backend: Backend,
  by: { mediaId: number } | { archivePath: string },
): Promise<ListedItem | null> {
  const [found] = await readItems(database, backend, (sql) =>
    'mediaId' in by
      ? sql`select id from strongroom.items where media_id = ${by.mediaId} order by generation desc limit 1`
      : sql`select id from strongroom.items where archive_path = ${by.archivePath}`,
  )
  return found ?? null
}

/** What workers of all nodes have in hand. */
export async function itemsInWork(
  database: Database,
  backend: Backend,
  limit: number,
): Promise<ListedItem[]> {
  return readItems(
    database,
    backend,
    (sql) => sql`
      select id from strongroom.items
      where state in ('claimed', 'publishing', 'withdrawing', 'releasing') and lease_until > clock_timestamp()
      order by id desc limit ${limit}`,
  )
}

/** How many items there are of each state; of one that has `most` or more, `most`. */
export async function countStates(
  database: Database,
  states: readonly ItemState[],
  { most, unseen }: { most: number; unseen: boolean },
): Promise<Partial<Record<ItemState, number>>> {
  const rows = await database.run((sql) => {
    const ofEach = states.map(
      (state) => sql`
        (select ${literal(sql, state)} as state, count(*) as count from (
          select from strongroom.items i
          where i.state = ${literal(sql, state)} and ${isNewest(sql)} and ${unseen ? sql`not ${isAcknowledged(sql)}` : sql`true`}
          limit ${most}) counted)`,
    )
    return sql<{ state: ItemState; count: string }[]>`${joined(sql, ofEach)}`
  })
  return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]))
}

/** How many approved rows no item was ever made of, up to `most`. */
export async function countFresh(
  database: Database,
  { mapping, ...backend }: Backend,
  most: number,
): Promise<number> {
  const { mediaTable, mediaColumns, status } = mapping
  const [row] = await database.run(
    (sql) => sql<{ count: string }[]>`
      select count(*) as count from (
        select from ${sql(mediaTable)} m
        where m.${sql(mediaColumns.status)} = ${status.approved} and ${notDeleted(sql, { ...backend, mapping })}
          and m.${sql(mediaColumns.approved_at)} is not null and m.${sql(mediaColumns.object_key)} is not null
          and (select true from strongroom.items where media_id = m.${sql(mediaColumns.id)} limit 1) is null
        limit ${most}) counted`,
  )
  return Number(row?.count)
}

/** About how many items there are, as PostgreSQL last estimated. */
export async function estimateItems(database: Database): Promise<number> {
  const [row] = await database.run(
    (sql) => sql<{ rows: number }[]>`
      select greatest(0, reltuples)::float8 as rows from pg_class where oid = 'strongroom.items'::regclass`,
  )
  return row?.rows ?? 0
}

type Row = HistoryRow &
  MediaStatus &
  Omit<ListedItem, keyof ItemHistory | 'item' | 'mediaId' | 'declaredBytes' | 'row'> & {
    id: string
    mediaId: string
    declaredBytes: string | null
    there: boolean
  }

async function readItems(
  database: Database,
  backend: Backend,
  ids: (sql: Sql) => Fragment,
): Promise<ListedItem[]> {
  const { mediaTable, mediaColumns } = backend.mapping
  const rows = await database.run(
    (sql) => sql<Row[]>`
      with page as materialized (${ids(sql)})
      select i.id, i.media_id as "mediaId", ${historyColumns(sql, backend)},
        left(i.title, ${MOST_SHOWN}) as title, left(i.filename, ${MOST_SHOWN}) as filename,
        i.content_type as "contentType", i.declared_bytes as "declaredBytes", i.probe, i.updated_at as "updatedAt",
        (select at from strongroom.acknowledgements a where a.item_id = i.id and ${isAcknowledged(sql)}) as "acknowledgedAt",
        m.${sql(mediaColumns.id)} is not null as there, ${statusColumns(sql, backend)}
      from page join strongroom.items i on i.id = page.id
        left join ${sql(mediaTable)} m on m.${sql(mediaColumns.id)} = i.media_id
      order by i.id desc`,
  )
  return rows.map(({ id, there, status, deleted, hasKey, hasApproval, ...row }) => ({
    ...toHistory(row),
    item: Number(id),
    mediaId: Number(row.mediaId),
    declaredBytes: row.declaredBytes === null ? null : Number(row.declaredBytes),
    row: there ? { status, deleted, hasKey, hasApproval } : null,
  }))
}

/** Of our closed list, hence safe as it is: for a parameter PostgreSQL would choose one plan for rare states and common ones. */
function literal(sql: Sql, state: ItemState): Fragment {
  return sql.unsafe(`'${state}'`)
}

function joined(sql: Sql, parts: readonly Fragment[]): Fragment {
  const [first, ...rest] = parts
  if (first === undefined) return sql`select null::bigint as id where false`
  return rest.reduce((all, part) => sql`${all} union all ${part}`, first)
}

function isNewest(sql: Sql): Fragment {
  return sql`not exists (select from strongroom.items later
    where later.media_id = i.media_id and later.generation > i.generation)`
}
