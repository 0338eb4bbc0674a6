/** Where tables lie, as PostgreSQL's catalogue tells it. */
import { isAppError } from '../errors.ts'
import type { Database, Fragment, Sql } from './connect.ts'

export const OUR_SCHEMA = 'strongroom'

/** A table of the backend's name in our schema, where an earlier `migrate` made it for a role named strongroom. */
export interface Shadow {
  name: string
  /** It holds rows, or may not be looked into. */
  used: boolean
}

/** The tables of our schema. */
export const ourTables = [
  'acknowledgements',
  'admin_actions',
  'archives',
  'buckets',
  'items',
  'migrations',
  'removals',
  'revocations',
  'run_events',
  'runs',
  'second_copies',
  'told',
]

/** @param table as configured, or with the schema in which it was found */
export async function findShadow(database: Database, table: string): Promise<Shadow | null> {
  const { name } = splitName(table)
  const shadow = `${OUR_SCHEMA}.${name}`
  if (ourTables.includes(name) || (await locate(database, shadow)) === null) return null
  try {
    const [row] = await database.run(
      (sql) => sql<{ used: boolean }[]>`select exists (select from ${sql(shadow)}) as used`,
    )
    return { name: shadow, used: row?.used !== false }
  } catch (error) {
    if (!isAppError(error, 'DB_DENIED')) throw error
    return { name: shadow, used: true }
  }
}

export function moveToPublic(name: string): string {
  return `alter table ${quoted(name)} set schema public;`
}

/** Tables of that name, with their schemas, to which the search path does not lead; none of our schema is among them. */
export async function findElsewhere(database: Database, table: string): Promise<string[]> {
  const { name } = splitName(table)
  const rows = await database.run(
    (sql) => sql<{ name: string }[]>`
      select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relname = ${name} and c.relkind in ('r', 'p', 'v', 'm', 'f')
        and n.nspname <> all(${searched(sql)})
        and n.nspname not in ('information_schema', ${OUR_SCHEMA}) and n.nspname not like 'pg\\_%' order by name`,
  )
  return rows.map(({ name }) => name)
}

/** Quotes a possibly schema-qualified name the way the driver's own helper does. */
export function quoted(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}

/** A table as the catalogue tells of it. */
export interface Located {
  /** With its schema. */
  name: string
  /** Types by column; a domain's `base` is what it is made of. */
  columns: ReadonlyMap<string, { name: string; base: string }>
}

/** @returns null when there is none. Reads the catalogue and not `to_regclass`, which fails on a schema that the role may not use. */
export async function locate(database: Database, table: string): Promise<Located | null> {
  const { schema, name } = splitName(table)
  const rows = await database.run(
    (sql) => sql<{ schema: string; column: string | null; type: string; base: string }[]>`
      select t.nspname as schema, a.attname as column, format_type(a.atttypid, null) as type,
        coalesce(domained.typname, typed.typname)::text as base
      from (select c.oid, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = ${name} and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and ${schema === null ? sql`n.nspname = any(${searched(sql)}) and n.nspname <> ${OUR_SCHEMA}` : sql`n.nspname = ${schema}`}
        order by array_position(${searched(sql)}, n.nspname) limit 1) t
      left join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
      left join pg_type typed on typed.oid = a.atttypid
      left join pg_type domained on domained.oid = typed.typbasetype`,
  )
  const [first] = rows
  if (first === undefined) return null
  return {
    name: `${first.schema}.${name}`,
    columns: new Map(
      rows.flatMap(({ column, type, base }) =>
        column === null ? [] : [[column, { name: type, base }]],
      ),
    ),
  }
}

/** Where a table without a schema is looked for, in this order; `public` even if the role may not use it yet. */
function searched(sql: Sql): Fragment {
  return sql`(current_schemas(false) || 'public'::name)`
}

export function splitName(table: string): { schema: string | null; name: string } {
  const dot = table.lastIndexOf('.')
  return dot === -1
    ? { schema: null, name: table }
    : { schema: table.slice(0, dot), name: table.slice(dot + 1) }
}
