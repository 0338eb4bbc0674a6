import type { Backend } from './backend.ts'
import { ourTables, quoted } from './catalogue.ts'
import type { Finding } from './checks.ts'
import type { Database } from './connect.ts'

/** What a sync writes into a media row, where the column exists. */
const writtenColumns = [
  'status',
  'archive_path',
  'archived_at',
  'checksum_sha256',
  'updated_at',
] as const

/** What this role may do with our schema, with the remedy for what it may not. */
export interface SchemaRights {
  use: Finding
  /** A migration that is missing can be applied. */
  migrate: Finding
}

interface SchemaRow {
  role: string
  database: string
  owner: string | null
  may_make: boolean
  may_use: boolean
  may_migrate: boolean
}

/**
 * Asks the catalogue, because on a fresh database nothing can be tried yet: a role without rights would hear only from
 * `migrate` that it has none.
 */
export async function checkSchemaRights(database: Database): Promise<SchemaRights> {
  const [row] = await database.run(
    (sql) => sql<SchemaRow[]>`
      with ours as (
        select c.oid, c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'strongroom' and c.relkind = 'r'
          and c.relname in ${sql(ourTables)})
      select current_user::text as role, current_database()::text as database,
        coalesce((select pg_get_userbyid(relowner) from ours limit 1), pg_get_userbyid(s.nspowner))::text as owner,
        has_database_privilege(current_database(), 'create') as may_make,
        s.oid is null or has_schema_privilege(s.oid, 'usage') and not exists (
          select from ours where not (has_table_privilege(oid, 'select')
            and has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'update')
            and has_table_privilege(oid, 'delete'))) as may_use,
        case when s.oid is null then has_database_privilege(current_database(), 'create')
          else has_schema_privilege(s.oid, 'create')
            and not exists (select from ours where not pg_has_role(relowner, 'usage')) end as may_migrate
      from (select) one left join pg_namespace s on s.nspname = 'strongroom'`,
  )
  if (row === undefined) throw new TypeError('a select without a table answers with one row')
  const to = quotedName(row.role)
  return {
    use: {
      ok: row.may_use,
      what: `role ${to} may${row.may_use ? '' : ' not'} use the schema strongroom`,
      sql: row.may_use ? [] : grantsOnOurs(row.role),
      exit: 77,
    },
    migrate: {
      ok: row.may_migrate,
      what: `role ${to} may not ${row.owner === null ? 'make' : 'change'} the schema strongroom`,
      sql:
        row.owner === null
          ? [`grant create on database ${quotedName(row.database)} to ${to};`]
          : [
              `grant usage, create on schema strongroom to ${to};`,
              `-- and if tables are in it: run "strongroom migrate" with DB_USER=${row.owner}, who owns them`,
            ],
      exit: 77,
    },
  }
}

interface ColumnRow {
  schema: string
  usable: boolean
  role: string
  column: string
  may_select: boolean
  may_update: boolean
  may_insert: boolean
}

/** What a sync, and what a rebuilt database, does with the backend’s tables, each right by itself; nothing for a table that was not found. */
export async function checkTableRights(
  database: Database,
  backend: Backend,
): Promise<Record<'reading' | 'writing' | 'rebuilding', Finding[]>> {
  const { mapping } = backend
  const media = await columnRights(database, mapping.mediaTable)
  const read = [...backend.mediaColumns].map((column) => mapping.mediaColumns[column])
  const written = writtenColumns
    .filter((column) => backend.mediaColumns.has(column))
    .map((column) => mapping.mediaColumns[column])
  const audit = await columnRights(database, mapping.auditTable)
  const inserted = (['media_id', 'action', 'details', 'created_at'] as const)
    .filter((column) => backend.auditColumns.has(column))
    .map((column) => mapping.auditColumns[column])
  const mayRead = media.every((row) => row.may_select || !read.includes(row.column))
  const mayWrite = media.every((row) => row.may_update || !written.includes(row.column))
  const mayAdd = audit.every((row) => row.may_insert || !inserted.includes(row.column))
  // A database that is rebuilt from sidecars learns from the details what was released.
  const looked = backend.auditColumns.has('details')
    ? (['media_id', 'action', 'details'] as const).map((column) => mapping.auditColumns[column])
    : []
  const mayLook = audit.every((row) => row.may_select || !looked.includes(row.column))
  const of = { media: quoted(mapping.mediaTable), audit: quoted(mapping.auditTable) }
  return {
    reading: [
      ...usageOf([...media, ...audit]),
      ...lacking(mayRead, media, {
        may: `read ${mapping.mediaTable}`,
        right: `select on ${of.media}`,
      }),
    ],
    writing: [
      ...lacking(mayWrite, media, {
        may: `change ${mapping.mediaTable}`,
        right: `update on ${of.media}`,
      }),
      ...lacking(mayAdd, audit, {
        may: `add to ${mapping.auditTable}`,
        right: `insert on ${of.audit}`,
      }),
      ...(await sequenceRights(database, mapping.auditTable)),
    ],
    rebuilding: lacking(mayLook, audit, {
      may: `read ${mapping.auditTable}`,
      right: `select on ${of.audit}`,
    }),
  }
}

function lacking(
  has: boolean,
  rows: readonly ColumnRow[],
  { may, right }: { may: string; right: string },
): Finding[] {
  const role = rows[0]?.role
  if (has || role === undefined) return []
  return [
    denied(`role ${quotedName(role)} may not ${may}`, `grant ${right} to ${quotedName(role)};`),
  ]
}

function usageOf(rows: readonly ColumnRow[]): Finding[] {
  const closed = new Map(rows.filter((row) => !row.usable).map((row) => [row.schema, row.role]))
  return [...closed].map(([schema, role]) =>
    denied(
      `role ${quotedName(role)} may not use the schema ${schema}`,
      `grant usage on schema ${quotedName(schema)} to ${quotedName(role)};`,
    ),
  )
}

/** An audit table numbered by `serial` draws from a sequence with rights of its own; an identity column does not. */
async function sequenceRights(database: Database, table: string): Promise<Finding[]> {
  // The question is in the list, not among the conditions: those may be asked of relations that are no sequences.
  const rows = await database.run(
    (sql) => sql<{ name: string; role: string; may_use: boolean }[]>`
      select format('%I.%I', sn.nspname, s.relname) as name, current_user::text as role,
        has_sequence_privilege(s.oid, 'usage') or has_sequence_privilege(s.oid, 'update') as may_use
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_depend d on d.refobjid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'a'
      join pg_class s on s.oid = d.objid and s.relkind = 'S'
      join pg_namespace sn on sn.oid = s.relnamespace
      where n.nspname || '.' || c.relname = ${table}`,
  )
  return rows
    .filter((row) => !row.may_use)
    .map(({ name, role }) =>
      denied(
        `role ${quotedName(role)} may not number rows of ${table}`,
        `grant usage on sequence ${name} to ${quotedName(role)};`,
      ),
    )
}

async function columnRights(database: Database, table: string): Promise<ColumnRow[]> {
  return database.run(
    (sql) => sql<ColumnRow[]>`
      select n.nspname::text as schema, has_schema_privilege(n.oid, 'usage') as usable, current_user::text as role,
        a.attname::text as column, has_column_privilege(c.oid, a.attnum, 'select') as may_select,
        has_column_privilege(c.oid, a.attnum, 'update') as may_update,
        has_column_privilege(c.oid, a.attnum, 'insert') as may_insert
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname || '.' || c.relname = ${table} and c.relkind in ('r', 'p', 'v', 'm', 'f')`,
  )
}

function grantsOnOurs(role: string): string[] {
  return [
    `grant usage on schema strongroom to ${quotedName(role)};`,
    `grant all on all tables in schema strongroom to ${quotedName(role)};`,
  ]
}

function denied(what: string, grant: string): Finding {
  return { ok: false, what, sql: [grant], exit: 77 }
}

/** One name, whose dots are part of it. */
function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
