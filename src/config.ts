import { type AdminConfig, adminConfig } from './config/admin.ts'
import { type BackendMapping, backendMapping } from './config/backend.ts'
import { checkTogether, isShortSecret } from './config/checks.ts'
import {
  type HooksConfig,
  hooksConfig,
  type NotifyConfig,
  notifyConfig,
  notifySecrets,
} from './config/notify.ts'
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
  secretTexts,
  settingNames,
  type ValueSource,
} from './config/source.ts'
import { type SpaceConfig, spaceConfig } from './config/space.ts'
import { AppError } from './errors.ts'
import type { AddressRange } from './ip-address.ts'

export type { AuditColumn, BackendMapping, MediaColumn } from './config/backend.ts'

export interface DatabaseConfig {
  host: string
  port: number
  database: string
  user: string
  password: string | null
  ssl: 'disable' | 'prefer' | 'require' | 'verify-full'
  /** Behind pgbouncer in transaction mode: no prepared statements, no start-up parameters. */
  pooler: boolean
}

export interface BucketConfig {
  endpoint: string
  region: string
  bucket: string
  accessKey: string
  secretKey: string
}

/** `every`: milliseconds between starts; `cron`: a cron expression read in `timeZone`. */
export type Schedule = { every: number } | { cron: string }

export interface Config {
  mode: 'live' | 'dry-run' | 'shadow'
  /** Null only when the command does not need it (see `needs`). */
  database: DatabaseConfig | null
  bucket: BucketConfig | null
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
  serve: {
    port: number
    adminPort: number
    pathPrefix: string
    /** Sites whose pages may read answers. */
    corsOrigins: '*' | readonly string[]
    /** How a front is told which file it is to send; null when it is never told. */
    offload: { header: 'X-Accel-Redirect' | 'X-Sendfile'; prefix: string } | null
    tokens: TokenConfig | null
    /** Proxies whose CF-Connecting-IP is believed. */
    trustedProxies: AddressRange[]
    /** 0 for any number. */
    tokenFailuresPerMinute: number
    /** What one visitor, and all together, may hold at one time; 0 streams for any number. */
    limits: { maxConnections: number; streamsPerUser: number; streamsPerClient: number }
    publicUrl: string | null
  }
  notify: NotifyConfig
  hooks: HooksConfig
  admin: AdminConfig
  log: { level: 'debug' | 'info' | 'warn' | 'error'; format: 'json' | 'text' }
  timeZone: string
  /** What is odd but no error; to be logged once the log is open. */
  warnings: string[]
}

export interface TokenConfig {
  /** The first one signs, all of them open; several at once for rotation. */
  secrets: string[]
  audience: string | null
  issuer: string | null
  /** No token may be valid for longer. */
  maxTtlSeconds: number
  /** Ids may come as text. */
  stringIds: boolean
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

/** One line of `strongroom config`. */
export interface EffectiveSetting {
  name: string
  /** As text, masked where secret; null when it is not set. */
  value: string | null
  source: ValueSource
}

const mask = '********'

/** Lists what is in effect and where it came from, right or wrong; throws nothing and shows no secret. */
export function effectiveConfig(
  env: Environment,
  options: { readFile: ReadFile },
): EffectiveSetting[] {
  const { found } = findSettings(env, options.readFile)
  const secrets = secretTexts(found)
  return settingNames.map((name) => {
    const setting = settings[name]
    const entry = found.get(name)
    if (!entry) {
      return { name, value: 'fallback' in setting ? setting.fallback : null, source: 'default' }
    }
    const value = isSecret(name) ? mask : withoutSecrets(entry.text, secrets)
    return { name, value: entry.text === '' ? null : value, source: entry.source }
  })
}

/** Every value that must not appear in a log or an answer. */
export function secretsOf(config: Config): string[] {
  const { admin, database, bucket, serve } = config
  const plain = [
    admin.token,
    database?.password,
    bucket?.accessKey,
    bucket?.secretKey,
    ...(serve.tokens?.secrets ?? []),
    ...notifySecrets(config.notify),
  ].filter((secret) => typeof secret === 'string')
  return [...new Set(plain.flatMap((secret) => [secret, encodeURIComponent(secret)]))]
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  const hidden = secrets.reduce((rest, secret) => rest.replaceAll(secret, mask), text)
  return hidden.replace(/(\/\/)[^/?#]*@/g, `$1${mask}@`)
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
    serve: {
      port: values.SERVER_PORT,
      adminPort: values.ADMIN_PORT,
      pathPrefix: values.SERVE_PATH_PREFIX ?? '',
      corsOrigins: values.CORS_ORIGINS ?? [],
      offload: offloadConfig(values),
      tokens: tokenConfig(values),
      trustedProxies: values.TRUSTED_PROXIES ?? [],
      tokenFailuresPerMinute: values.TOKEN_FAILURES_PER_MINUTE,
      limits: {
        maxConnections: values.MAX_CONNECTIONS,
        streamsPerUser: values.MAX_STREAMS_PER_USER,
        streamsPerClient: values.MAX_STREAMS_PER_CLIENT,
      },
      publicUrl: values.PUBLIC_URL,
    },
    notify: notifyConfig(values),
    hooks: hooksConfig(values),
    admin: adminConfig(values),
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
    timeZone: values.TZ,
    warnings,
  }
}

function databaseConfig(values: SettingValues): DatabaseConfig | null {
  const { DB_HOST: host, DB_NAME: database, DB_USER: user } = values
  if (host === null || database === null || user === null) return null
  return {
    host,
    port: values.DB_PORT,
    database,
    user,
    password: values.DB_PASSWORD,
    ssl: values.DB_SSLMODE,
    pooler: values.DB_POOLER,
  }
}

function bucketConfig(values: SettingValues): BucketConfig | null {
  const { R2_ENDPOINT: endpoint, R2_BUCKET: bucket } = values
  const { R2_ACCESS_KEY: accessKey, R2_SECRET_KEY: secretKey } = values
  if (endpoint === null || bucket === null || accessKey === null || secretKey === null) return null
  return { endpoint: endpoint.origin, region: values.R2_REGION, bucket, accessKey, secretKey }
}

function offloadConfig(values: SettingValues): Config['serve']['offload'] {
  const { SENDFILE_HEADER: header, SENDFILE_PREFIX: prefix } = values
  return header === null ? null : { header, prefix: prefix ?? values.ARCHIVE_DIR }
}

function tokenConfig(values: SettingValues): TokenConfig | null {
  const { UNRAID_TUNNEL_SECRET: current, UNRAID_TUNNEL_SECRET_PREVIOUS: previous } = values
  if (current === null) return null
  return {
    secrets: previous === null || previous === current ? [current] : [current, previous],
    audience: values.TOKEN_AUDIENCE,
    issuer: values.TOKEN_ISSUER,
    maxTtlSeconds: values.TOKEN_MAX_TTL / 1000,
    stringIds: values.TOKEN_ALLOW_STRING_IDS,
  }
}
