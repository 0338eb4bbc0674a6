import type { AuditColumn, MediaColumn } from '../config.ts'
import type { AppError } from '../errors.ts'
import { isAppError } from '../errors.ts'
import {
  auditColumnTypes,
  type Backend,
  mediaColumnTypes,
  requiredAuditColumns,
  requiredMediaColumns,
} from './backend.ts'
import { notDeleted } from './backend-sql.ts'
import { findElsewhere, findShadow, moveToPublic, quoted, type Shadow } from './catalogue.ts'
import type { Database } from './connect.ts'
import { recordArchived, refusedThrown } from './records.ts'

/** What `doctor` found about the database; `sql` mends it, to be run by the owner of the tables. */
export interface Finding {
  ok: boolean
  what: string
  sql: string[]
  /** Exit code of a doctor that failed for it; 78 when not given. */
  exit?: number
}

/** Server version and encoding that the statements rely on (`normalize` needs 13 and UTF-8). */
export async function checkServer(database: Database): Promise<Finding> {
  const [row] = await database.run(
    (sql) => sql<{ version: string; encoding: string }[]>`
      select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding`,
  )
  const ok = Number(row?.version) >= 130_000 && row?.encoding === 'UTF8'
  return {
    ok,
    what: `PostgreSQL ${row?.version}, encoding ${row?.encoding} (13 and UTF8 are needed)`,
    sql: [],
  }
}

/** Compares the backend's tables with the contract. */
export function checkTables(backend: Backend): Finding[] {
  const { mapping } = backend
  const media = requiredMediaColumns.filter((column) => !backend.mediaColumns.has(column))
  const audit = requiredAuditColumns.filter((column) => !backend.auditColumns.has(column))
  const optional = (['archive_path', 'archived_at', 'checksum_sha256'] as const).filter(
    (column) => !backend.mediaColumns.has(column),
  )
  return [
    {
      ok: media.length === 0,
      what: describeMissing(
        mapping.mediaTable,
        media.map((column) => mapping.mediaColumns[column]),
      ),
      sql: isThere(backend.mediaColumns)
        ? media.map((column) => addMediaColumn(backend, column))
        : [makeTables('MEDIA_TABLE')],
    },
    {
      ok: audit.length === 0,
      what: describeMissing(
        mapping.auditTable,
        audit.map((column) => mapping.auditColumns[column]),
      ),
      sql: isThere(backend.auditColumns)
        ? audit.map((column) => addAuditColumn(backend, column))
        : [makeTables('AUDIT_TABLE')],
    },
    ...(optional.length === 0 || !isThere(backend.mediaColumns)
      ? []
      : [
          {
            ok: true,
            what: `${mapping.mediaTable} has no ${optional.map((column) => mapping.mediaColumns[column]).join(', ')}: not written (fine)`,
            sql: optional.map((column) => addMediaColumn(backend, column)),
          },
        ]),
  ]
}

/** Columns of ids that hold no whole numbers. */
export function checkTypes({ misfits }: Backend): Finding[] {
  return misfits.map(({ column, type, setting, needed }) => ({
    ok: !needed,
    what: needed
      ? `${column} is ${type}, but media ids must be whole numbers: name a column of smallint, integer or bigint with ${setting}`
      : `${column} is ${type} and no whole number: not read (fine)`,
    sql: [],
  }))
}

/** How many rows are counted: more need no exact number, and cost time. */
const COUNTED = 1000

/**
 * Approved rows that are never claimed because they have no approval time or no object key.
 *
 * @returns a sentence that counts them and names the first ones, or null when there are none
 */
export async function describeIncomplete(
  database: Database,
  backend: Backend,
): Promise<string | null> {
  const { mediaTable, mediaColumns: names, status } = backend.mapping
  const rows = await database.run(
    (sql) => sql<{ id: string; count: number }[]>`
      select id::text, (count(*) over ())::int as count from (
        select m.${sql(names.id)} as id from ${sql(mediaTable)} m
        where m.${sql(names.status)} = ${status.approved} and ${notDeleted(sql, backend)}
          and (m.${sql(names.approved_at)} is null or m.${sql(names.object_key)} is null)
        limit ${COUNTED}) incomplete order by incomplete.id limit 5`,
  )
  const count = rows[0]?.count ?? 0
  if (count === 0) return null
  const number = count === COUNTED ? `at least ${COUNTED}` : count
  const ids = rows.map(({ id }) => id).join(', ')
  const [noun, verb, skipped] = count === 1 ? ['row', 'has', 'is'] : ['rows', 'have', 'are']
  return `${number} approved ${noun} ${verb} no ${names.approved_at} or no ${names.object_key} and ${skipped} skipped: media ${ids}${count > rows.length ? ' …' : ''}`
}

function describeMissing(table: string, columns: string[]): string {
  if (columns.length === 0) return `table ${table} has every column that is needed`
  return `table ${table} is missing or lacks ${columns.join(', ')}`
}

/** A table none of whose columns is known is most likely not there at all. */
function isThere(columns: ReadonlySet<string>): boolean {
  return columns.size > 0
}

/** Tables of the same names that are not the ones used. */
export async function checkNamesakes(database: Database, backend: Backend): Promise<Finding[]> {
  const { mapping } = backend
  const findings: Finding[] = []
  for (const { setting, table, there } of [
    { setting: 'MEDIA_TABLE', table: mapping.mediaTable, there: isThere(backend.mediaColumns) },
    { setting: 'AUDIT_TABLE', table: mapping.auditTable, there: isThere(backend.auditColumns) },
  ]) {
    const shadow = await findShadow(database, table)
    if (shadow !== null) findings.push(tellShadow(shadow, there))
    if (there) continue
    for (const other of await findElsewhere(database, table))
      findings.push({
        ok: true,
        what: `there is ${other}, to which the search path does not lead`,
        sql: [`-- if it is the backend's, set ${setting}=${other}`],
      })
  }
  return findings
}

function tellShadow({ name, used }: Shadow, hasOther: boolean): Finding {
  const why = `${name} is not used: an earlier "strongroom migrate" made it in the wrong schema`
  if (!used) return { ok: true, what: `${why}; it is empty`, sql: [`drop table ${quoted(name)};`] }
  return {
    ok: true,
    what: `${why}; it holds rows`,
    sql: hasOther ? ['-- look at them, then drop it'] : [moveToPublic(name)],
  }
}

function makeTables(setting: string): string {
  return `-- name the backend's own with ${setting}, or run "strongroom migrate", which makes it`
}

function addMediaColumn({ mapping }: Backend, column: MediaColumn): string {
  return `alter table ${quoted(mapping.mediaTable)} add column ${quoted(mapping.mediaColumns[column])} ${plainType(mediaColumnTypes[column])};`
}

function addAuditColumn({ mapping }: Backend, column: AuditColumn): string {
  return `alter table ${quoted(mapping.auditTable)} add column ${quoted(mapping.auditColumns[column])} ${plainType(auditColumnTypes[column])};`
}

/** A column can be added to a table with rows only without its constraints. */
function plainType(type: string): string {
  return type.replace(/ (generated|primary|not null|default).*$/, '')
}

/** The indexes that claiming and releasing live on; advised, never made. */
export async function checkIndexes(database: Database, backend: Backend): Promise<Finding[]> {
  const { mediaTable, mediaColumns } = backend.mapping
  const wanted = [[mediaColumns.status, mediaColumns.approved_at], [mediaColumns.object_key]]
  const rows = await database.run(
    (sql) => sql<{ columns: string }[]>`
      select (select string_agg(a.attname, ',' order by k.n)
        from unnest(i.indkey) with ordinality k (attnum, n)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum) as columns
      from pg_index i where i.indrelid = to_regclass(${quoted(mediaTable)})`,
  )
  const there = rows.map((row) => row.columns ?? '')
  return wanted.map((columns) => {
    const ok = there.some((found) => `${found},`.startsWith(`${columns.join(',')},`))
    const on = `${mediaTable} (${columns.join(', ')})`
    return {
      ok: true,
      what: ok ? `index on ${on}` : `no index on ${on}: fine while the table is small, slow later`,
      sql: ok
        ? []
        : [
            `create index concurrently on ${quoted(mediaTable)} (${columns.map(quoted).join(', ')});`,
          ],
    }
  })
}

/**
 * Tries the record statement on a real row inside a transaction that is rolled back: rights, enum values and columns of
 * the audit table that must not be null all show here and nowhere else.
 */
export async function rehearseRecord(
  database: Database,
  backend: Backend,
  role: string,
): Promise<{ finding: Finding; error: AppError | null }> {
  try {
    const tried = await database.rehearse(async (inside) => {
      const held = await plantItem(inside, backend)
      const context = {
        database: { ...database, ...inside },
        backend,
        archiveId: crypto.randomUUID(),
        bucket: '',
        owner: 'doctor',
        leaseMs: 1000,
        releaseGraceMs: 0,
        releaseDailyMax: null,
      }
      const item = held ?? { id: 0, epoch: 0 }
      const [outcome = 'stale'] = await recordArchived(context, [item], inside.settle)
      if (held === null) return 'as far as a media table that never saw an approval allows'
      return refusedThrown(context, item, outcome)
    })
    const ok = tried !== 'stale' && tried !== 'withdrawing'
    return {
      finding: { ok, what: `record statement tried and rolled back: ${tried}`, sql: [] },
      error: null,
    }
  } catch (error) {
    if (!isAppError(error)) throw error
    const what = `the record statement fails: ${error.message}`
    return {
      finding: { ok: false, what, sql: error.code === 'DB_DENIED' ? grantsFor(backend, role) : [] },
      error,
    }
  }
}

/**
 * Makes an item in state `publishing` for some media row that was approved once, and is set to approved again; both vanish
 * with the rollback. Its approval time, which the record compares and which may not be ours to write, stays as it is.
 */
async function plantItem(database: Pick<Database, 'run'>, backend: Backend) {
  const { mediaTable, mediaColumns, status } = backend.mapping
  const [row] = await database.run(
    (sql) => sql<{ id: string; epoch: number }[]>`
      with picked as (
        select ${sql(mediaColumns.id)} as id, ${sql(mediaColumns.object_key)} as object_key,
          ${sql(mediaColumns.approved_at)} as approved_at from ${sql(mediaTable)}
        where ${sql(mediaColumns.object_key)} is not null and ${sql(mediaColumns.approved_at)} is not null
          and not exists (
          select from strongroom.items i where i.media_id = ${sql(mediaTable)}.${sql(mediaColumns.id)}
            and i.state in ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing')) ${
              backend.mediaColumns.has('deleted_at')
                ? sql`and ${sql(mediaColumns.deleted_at)} is null`
                : sql``
            }
        limit 1 for no key update skip locked),
      approved as (
        update ${sql(mediaTable)} m set ${sql(mediaColumns.status)} = ${status.approved}
        from picked where m.${sql(mediaColumns.id)} = picked.id returning picked.*)
      insert into strongroom.items (media_id, generation, state, object_key, approved_at, archive_path)
      select id, 2000000000, 'publishing', object_key, approved_at, 'doctor/rehearsal'
      from approved returning id, epoch`,
  )
  return row === undefined ? null : { id: Number(row.id), epoch: row.epoch }
}

function grantsFor({ mapping }: Backend, role: string): string[] {
  const to = quoted(role)
  return [
    `grant select, update on ${quoted(mapping.mediaTable)} to ${to};`,
    `grant insert on ${quoted(mapping.auditTable)} to ${to};`,
    `grant usage on all sequences in schema ${quoted(schemaOf(mapping.auditTable))} to ${to};`,
    `grant usage on schema strongroom to ${to};`,
    `grant all on all tables in schema strongroom to ${to};`,
  ]
}

function schemaOf(table: string): string {
  return table.includes('.') ? table.slice(0, table.lastIndexOf('.')) : 'public'
}
