import { type AdminConfig, adminConfig } from './config/admin.ts'
import { type BackendMapping, backendMapping } from './config/backend.ts'
import { type BucketConfig, bucketConfig } from './config/bucket.ts'
import { checkTogether, isShortSecret } from './config/checks.ts'
import { type DatabaseConfig, databaseConfig } from './config/database.ts'
import {
  type HooksConfig,
  hooksConfig,
  type NotifyConfig,
  notifyConfig,
  notifySecrets,
} from './config/notify.ts'
import { type SecondConfig, secondConfig } from './config/second.ts'
import { type ServeConfig, serveConfig } from './config/serve.ts'
import type { Need } from './config/setting.ts'
import { type SettingName, type SettingValues, settings } from './config/settings.ts'
import { type ShadowConfig, shadowConfig } from './config/shadow.ts'
import {
  type Environment,
  type Found,
  findSettings,
  isSecret,
  type Problem,
  type ReadFile,
  settingNames,
} from './config/source.ts'
import { type SpaceConfig, spaceConfig } from './config/space.ts'
import { AppError } from './errors.ts'

export type { AuditColumn, BackendMapping, MediaColumn } from './config/backend.ts'
export type { BucketConfig } from './config/bucket.ts'
export type { DatabaseConfig } from './config/database.ts'
export type { TokenConfig } from './config/serve.ts'

/** `every`: milliseconds between starts; `cron`: a cron expression read in `timeZone`. */
export type Schedule = { every: number } | { cron: string }

export interface Config {
  mode: 'live' | 'dry-run' | 'shadow'
  /** Null only when the command does not need it (see `needs`). */
  database: DatabaseConfig | null
  bucket: BucketConfig | null
  /** Where archived files may be moved to; null for nowhere. */
  second: SecondConfig | null
  backend: BackendMapping
  migrateOnStart: boolean
  sync: {
    batchSize: number
    schedule: Schedule
    jitterMs: number
    /** What becomes of scheduled starts that could not be kept. */
    missed: 'run' | 'skip'
    /** Only one node syncs at a time. */
    alone: boolean
    /** Null for any time. */
    timeoutMs: number | null
    concurrency: number
    changedAfterApproval: 'hold' | 'accept'
    sizeMismatch: 'warn' | 'reject'
  }
  archive: {
    dir: string
    errorDir: string
    /** Neither folder may lie on the root file system. */
    requireMount: boolean
    layout: string
    umask: number
    /** Large files go past the page cache. */
    directIo: boolean
  }
  space: SpaceConfig
  /** Null only where MODE is not shadow. */
  shadow: ShadowConfig | null
  releaseGraceMs: number
  /** Sources that may be released in any 24 hours; null for any number. */
  releaseDailyMax: number | null
  scrub: {
    /** 0 for never. */
    periodMs: number
    bytesPerSecond: number
  }
  ffprobePath: string
  /** Asked first; null where there is none. */
  ffprobeSmallPath: string | null
  /** How long the history of runs is kept. */
  runsKeptMs: number
  shutdownTimeoutMs: number
  /** Without a sync that came to its end for so long something is wrong; null for what SYNC_INTERVAL makes usual. */
  staleAfterMs: number | null
  serve: ServeConfig
  notify: NotifyConfig
  hooks: HooksConfig
  admin: AdminConfig
  log: { level: 'debug' | 'info' | 'warn' | 'error'; format: 'json' | 'text' }
  timeZone: string
  /** What is odd but no error; to be logged once the log is open. */
  warnings: string[]
}

/**
 * Reads the whole configuration before anything is opened. Each setting also comes as NAME_FILE, which wins.
 *
 * @param options.needs what the command at hand cannot do without; the rest may be missing but not wrong
 * @param options.shadow true for a command that writes nothing, or knows what it may not write, in shadow mode
 * @throws CONFIG_INVALID once, with every problem; MODE_UNSUPPORTED for other commands in shadow mode
 */
export function parseConfig(
  env: Environment,
  options: { needs: ReadonlySet<Need>; readFile: ReadFile; shadow?: boolean },
): Config {
  const { found, problems, warnings } = findSettings(env, options.readFile)
  if (found.get('MODE')?.text.toLowerCase() === 'shadow' && options.shadow !== true) {
    throw new AppError('MODE_UNSUPPORTED', 'MODE is shadow, and this command may write')
  }
  const { values, wrong } = readValues(found)
  const missing = settingNames.filter((name) => isMissing(name, found, options.needs))
  problems.push(
    ...wrong,
    ...missing.map((name) => problem(name, name, 'is required but not set')),
    ...checkTogether(values, found),
  )
  if (problems.length > 0) throw invalid(problems, warnings)
  return assemble(values, [...warnings, ...advice(values)])
}

/** Every value that must not appear in a log or an answer. */
export function secretsOf(config: Config): string[] {
  const { admin, database, bucket, second, serve } = config
  const plain = [
    admin.token,
    database?.password,
    bucket?.accessKey,
    bucket?.secretKey,
    second?.accessKey,
    second?.secretKey,
    ...(serve.tokens?.secrets ?? []),
    ...notifySecrets(config.notify),
  ].filter((secret) => typeof secret === 'string')
  return [...new Set(plain)]
}

/** Far beyond any right value; keeps the readers' patterns cheap. */
const longestText = 8192

/** A wrong value is reported once and then stands at its default, so that it causes no second complaint. */
function readValues(found: ReadonlyMap<SettingName, Found>) {
  const values: Record<string, unknown> = {}
  const wrong: Problem[] = []
  for (const name of settingNames) {
    const setting = settings[name]
    values[name] = 'fallback' in setting ? setting.reader.parse(setting.fallback) : null
    const entry = found.get(name)
    if (!entry || entry.text === '') continue
    if (entry.text.length > longestText) {
      wrong.push(problem(name, entry.variable, `is longer than ${longestText} characters`))
      continue
    }
    const result = setting.reader.safeParse(entry.text)
    if (result.success) values[name] = result.data
    for (const issue of result.error?.issues ?? []) {
      wrong.push(problem(name, entry.variable, issue.message))
    }
  }
  return { values: values as SettingValues, wrong }
}

function isMissing(
  name: SettingName,
  found: ReadonlyMap<SettingName, Found>,
  needs: ReadonlySet<Need>,
): boolean {
  const setting = settings[name]
  return 'requiredFor' in setting && needs.has(setting.requiredFor) && !found.has(name)
}

function problem(name: SettingName, variable: string, wrong: string): Problem {
  const fromUrl = variable.startsWith('DATABASE_URL') && name !== 'DATABASE_URL'
  const shown = fromUrl ? 'DATABASE_URL' : name
  const { example } = settings[shown]
  const inFile = isSecret(shown) ? null : `a file that contains ${example}`
  return {
    variable,
    wrong: fromUrl ? `(read as ${name}) ${wrong}` : wrong,
    example: variable.endsWith('_FILE') ? inFile : `${variable}=${example}`,
  }
}

function invalid(problems: readonly Problem[], warnings: readonly string[]): AppError {
  const lines = problems.map(({ variable, wrong, example }) =>
    example === null ? `${variable} ${wrong}` : `${variable} ${wrong}; for example ${example}`,
  )
  const count = lines.length === 1 ? 'one setting is' : `${lines.length} settings are`
  // What is odd is often why something is missing: DB_HSOT was set, so DB_HOST is not.
  const all = [...lines, ...warnings.map((warning) => `(${warning})`)]
  const message = `${count} wrong:\n${all.map((line) => `  ${line}`).join('\n')}`
  return new AppError('CONFIG_INVALID', message, {
    hint: 'docs/configuration.md lists every setting; `strongroom config` shows what is in effect',
  })
}

function advice(values: SettingValues): string[] {
  const warnings: string[] = []
  if (values.INCOMING_DIR !== null) {
    warnings.push('INCOMING_DIR is ignored: temporary files live in ARCHIVE_DIR/.strongroom/tmp')
  }
  for (const name of ['UNRAID_TUNNEL_SECRET', 'UNRAID_TUNNEL_SECRET_PREVIOUS'] as const) {
    if (isShortSecret(values[name]))
      warnings.push(`${name} is short: it can be guessed from one token, and then opens every file`)
  }
  return warnings
}

function assemble(values: SettingValues, warnings: string[]): Config {
  return {
    mode: values.MODE,
    database: databaseConfig(values),
    bucket: bucketConfig(values),
    second: secondConfig(values),
    backend: backendMapping(values),
    migrateOnStart: values.MIGRATE_ON_START,
    sync: {
      batchSize: values.BATCH_SIZE,
      schedule: values.SYNC_INTERVAL,
      jitterMs: values.SYNC_JITTER,
      missed: values.SYNC_MISSED,
      alone: values.SYNC_OVERLAP === 'skip',
      timeoutMs: values.SYNC_TIMEOUT,
      concurrency: values.SYNC_CONCURRENCY,
      changedAfterApproval: values.CHANGED_AFTER_APPROVAL,
      sizeMismatch: values.SIZE_MISMATCH,
    },
    archive: {
      dir: values.ARCHIVE_DIR,
      errorDir: values.ERROR_DIR,
      requireMount: values.REQUIRE_MOUNT,
      layout: values.ARCHIVE_LAYOUT,
      umask: values.UMASK,
      directIo: values.DIRECT_IO,
    },
    space: spaceConfig(values),
    shadow: shadowConfig(values),
    releaseGraceMs: values.RELEASE_GRACE,
    releaseDailyMax: values.RELEASE_DAILY_MAX,
    scrub: { periodMs: values.SCRUB_PERIOD, bytesPerSecond: values.SCRUB_RATE * 1_000_000 },
    ffprobePath: values.FFPROBE_PATH,
    ffprobeSmallPath: values.FFPROBE_SMALL_PATH,
    runsKeptMs: values.RUNS_KEPT,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
    staleAfterMs: values.STALE_AFTER,
    serve: serveConfig(values),
    notify: notifyConfig(values),
    hooks: hooksConfig(values),
    admin: adminConfig(values),
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
    timeZone: values.TZ,
    warnings,
  }
}
