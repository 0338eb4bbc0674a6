import type { Config } from '../config.ts'
import { type Backend, inspectBackend } from '../db/backend.ts'
import {
  checkIndexes,
  checkNamesakes,
  checkServer,
  checkTables,
  checkTypes,
  describeIncomplete,
  type Finding,
  rehearseRecord,
} from '../db/checks.ts'
import type { Database } from '../db/connect.ts'
import { schemaGap } from '../db/migrate.ts'
import { checkSchemaRights, checkTableRights } from '../db/rights.ts'
import type { AppError } from '../errors.ts'
import type { Examined, Report } from './doctor-report.ts'

type DatabaseExamined = Pick<Examined, 'config' | 'report'>

/** @param answered called once the database does */
export async function checkDatabase(
  examined: DatabaseExamined,
  database: Database,
  answered: () => void,
): Promise<void> {
  const { config, report } = examined
  tell(report, await checkServer(database))
  answered()
  const migrated = await checkSchema(examined, database)
  const backend = await inspectBackend(database, config.backend)
  const tables = checkTables(backend)
  for (const finding of tables) tell(report, finding, { next: tableStep(backend, finding) })
  const types = checkTypes(backend)
  for (const finding of types) tell(report, finding)
  for (const { what, remedy } of backend.misnamed) report.fail(what, { remedy: [remedy], exit: 78 })
  for (const finding of await checkNamesakes(database, backend)) tell(report, finding)
  const { reading, writing, rebuilding } = await checkTableRights(database, backend)
  const needed = [...writing, ...rebuilding].map((finding) => forMode(config, finding))
  const denied = [...reading, ...needed]
  for (const finding of denied) tell(report, finding)
  if (backend.misnamed.length > 0) return
  if (![...tables, ...types].every((finding) => finding.ok)) return
  for (const finding of await checkIndexes(database, backend)) tell(report, finding)
  if (reading.length > 0) return
  const incomplete = await describeIncomplete(database, backend)
  if (incomplete !== null) report.advise(incomplete, [])
  if (!migrated || denied.length > 0) return
  const role = config.database?.user ?? ''
  const { finding, error } = await rehearseRecord(database, backend, role)
  tell(report, finding, { error })
}

/** @returns true when our schema is as this version needs it, and may be used */
async function checkSchema(
  { config, report }: DatabaseExamined,
  database: Database,
): Promise<boolean> {
  const { use, migrate } = await checkSchemaRights(database)
  if (!use.ok) {
    tell(report, forMode(config, use))
    return false
  }
  const gap = await schemaGap(database)
  if (gap === null) {
    report.ok('schema strongroom is up to date')
    return true
  }
  report.advise(gap.message, [gap.hint])
  if (!migrate.ok) tell(report, forMode(config, migrate))
  return false
}

/** A dry run writes nothing, and needs none of the rights to. */
function forMode({ mode }: Config, finding: Finding): Finding {
  return mode === 'live' ? finding : { ...finding, ok: true }
}

function tableStep({ mapping, mediaColumns, auditColumns }: Backend, { sql }: Finding): string {
  if (mediaColumns.size === 0 || auditColumns.size === 0) {
    const absent = mediaColumns.size === 0 ? mapping.mediaTable : mapping.auditTable
    return `name your own table in place of ${absent} with MEDIA_TABLE or AUDIT_TABLE; without a backend run "strongroom migrate"`
  }
  return `name your own column with MEDIA_COLUMN_… or AUDIT_COLUMN_…, or ${asOwner(sql)}`
}

function asOwner(sql: readonly string[]): string {
  const more = sql.length > 1 ? ` (and ${sql.length - 1} more above)` : ''
  return `have the owner of the tables run: ${sql[0]}${more}`
}

function tell(
  report: Report,
  { ok, what, sql, exit: code = 78 }: Finding,
  { error = null, next }: { error?: AppError | null; next?: string } = {},
): void {
  // A rule or trigger of the backend that says no is a matter of set-up like a missing column.
  const exit = error === null || error.code === 'INTERNAL' ? code : error.exit
  const known = error === null || error.code === 'INTERNAL' ? what : error.hint
  if (!ok) report.fail(what, { remedy: sql, exit, next: next ?? (sql[0] ? asOwner(sql) : known) })
  else if (sql.length > 0) report.advise(what, sql)
  else report.ok(what)
}
