import { defaultLayout } from '../archive-path.ts'
import { backendSettings } from './backend.ts'
import type { Settings, ValuesOf } from './setting.ts'
import * as read from './values.ts'

const hour = 3_600_000
const tenYears = { min: 0, max: 87_600 * hour, words: 'from 0 to 87600h' }
const upToAnHour = { min: 1000, max: hour, words: 'from 1s to 1h' }
const upToTenYears = { min: 1000, max: 87_600 * hour, words: 'from 1s to 87600h' }

const databaseSettings = {
  DATABASE_URL: {
    secret: true,
    reader: read.databaseUrl,
    help: 'The database in one URL; what it names wins over the DB_ settings, which supply the rest (sslmode is read from its query).',
    example: 'postgres://strongroom:PASSWORD@db:5432/app?sslmode=require',
  },
  DB_HOST: {
    requiredFor: 'database',
    reader: read.databaseHost,
    help: 'Host of the backend’s PostgreSQL, or the folder of its Unix socket.',
    example: 'db.internal',
  },
  DB_PORT: {
    fallback: '5432',
    reader: read.wholeNumber(1, 65_535),
    help: 'Port of PostgreSQL.',
    example: '5432',
  },
  DB_NAME: {
    requiredFor: 'database',
    reader: read.text,
    help: 'Name of the database that holds the media table.',
    example: 'app',
  },
  DB_USER: {
    requiredFor: 'database',
    reader: read.text,
    help: 'Role to connect as.',
    example: 'strongroom',
  },
  DB_PASSWORD: {
    aliases: ['DB_PASS'],
    secret: true,
    reader: read.secretText,
    help: 'Password of that role; without it the server must trust the connection.',
    example: '"$(cat db-password)"',
  },
  DB_SSLMODE: {
    fallback: 'prefer',
    reader: read.oneOf('disable', 'prefer', 'require', 'verify-full'),
    help: 'TLS to the database: disable, prefer, require (encrypted, certificate not checked) or verify-full.',
    example: 'require',
  },
  DB_POOLER: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True behind pgbouncer in transaction mode: no prepared statements, no start-up parameters.',
    example: 'true',
  },
} as const satisfies Settings

const bucketSettings = {
  R2_ENDPOINT: {
    requiredFor: 'bucket',
    reader: read.endpoint,
    help: 'URL of the S3-compatible service, without the bucket.',
    example: 'https://ACCOUNT_ID.r2.cloudflarestorage.com',
  },
  R2_BUCKET: {
    aliases: ['R2_BUCKET_NAME'],
    requiredFor: 'bucket',
    reader: read.bucketName,
    help: 'Name of the bucket that holds the sources.',
    example: 'media-uploads',
  },
  R2_ACCESS_KEY: {
    aliases: ['R2_ACCESS_KEY_ID'],
    requiredFor: 'bucket',
    secret: true,
    reader: read.secretText,
    help: 'Access key id; it needs to read and delete objects of this bucket, no more.',
    example: '"$(cat r2-access-key)"',
  },
  R2_SECRET_KEY: {
    aliases: ['R2_SECRET_ACCESS_KEY'],
    requiredFor: 'bucket',
    secret: true,
    reader: read.secretText,
    help: 'Secret of that access key.',
    example: '"$(cat r2-secret-key)"',
  },
  R2_REGION: {
    fallback: 'auto',
    reader: read.text,
    help: 'Region to sign requests for; R2 takes auto.',
    example: 'us-east-1',
  },
} as const satisfies Settings

const syncSettings = {
  MODE: {
    fallback: 'live',
    reader: read.oneOf('live', 'dry-run', 'shadow'),
    help: 'live, or dry-run: says what it would do and writes nothing anywhere (shadow is refused in this version).',
    example: 'dry-run',
  },
  SYNC_INTERVAL: {
    fallback: '30m',
    reader: read.schedule,
    help: 'How often approved rows are looked for: a duration (1h30m, 90s), plain seconds (1800), or a cron expression of 5 or 6 fields read in TZ.',
    example: '30m',
  },
  BATCH_SIZE: {
    fallback: '10',
    reader: read.wholeNumber(1, 1000),
    help: 'Rows claimed at a time, 1 to 1000.',
    example: '10',
  },
  SYNC_CONCURRENCY: {
    fallback: '4',
    reader: read.wholeNumber(1, 64),
    help: 'Files worked on at once, 1 to 64.',
    example: '4',
  },
  CHANGED_AFTER_APPROVAL: {
    fallback: 'hold',
    reader: read.oneOf('hold', 'accept'),
    help: 'What to do with an object that is newer than its approval: hold it for a person, or accept (for backends that approve before the upload ends).',
    example: 'hold',
  },
  SIZE_MISMATCH: {
    fallback: 'warn',
    reader: read.oneOf('warn', 'reject'),
    help: 'What to do when the row and the object disagree about the size: warn or reject.',
    example: 'warn',
  },
  RELEASE_GRACE: {
    fallback: '24h',
    reader: read.duration(tenYears),
    help: 'How long a source is kept after its copy was archived. 0 deletes it at once; the copy is then read back from memory, which proves little about the disk.',
    example: '72h',
  },
  RELEASE_DAILY_MAX: {
    reader: read.wholeNumber(0, 999_999_999),
    help: 'How many sources may be released in any 24 hours, by all nodes together (set the same on each); 0 releases nothing, not set means any number.',
    example: '500',
  },
  SCRUB_PERIOD: {
    fallback: '720h',
    reader: read.duration(tenYears),
    help: 'In what time "start" reads the whole archive again, to notice what rots and heal it from the bucket while the source lives. 0 turns it off.',
    example: '2160h',
  },
  SCRUB_RATE: {
    fallback: '20',
    reader: read.wholeNumber(1, 100_000),
    help: 'How many megabytes a second it reads at most; 20 are 1.7 TB a day.',
    example: '50',
  },
  FFPROBE_PATH: {
    fallback: 'ffprobe',
    reader: read.program,
    help: 'The ffprobe that checks media.',
    example: '/usr/bin/ffprobe',
  },
} as const satisfies Settings

const archiveSettings = {
  ARCHIVE_DIR: {
    fallback: '/media/archive',
    reader: read.folder,
    help: 'The archive; its temporary files live on the same file system, in .strongroom inside it.',
    example: '/media/archive',
  },
  ERROR_DIR: {
    fallback: '/media/errors',
    reader: read.folder,
    help: 'Where copies of rejected media and their reports go; may be another file system.',
    example: '/media/errors',
  },
  REQUIRE_MOUNT: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True refuses an ARCHIVE_DIR or ERROR_DIR that is on no mounted volume but on the root file system; in the image it is true, because that file system goes with the container.',
    example: 'true',
  },
  ARCHIVE_LAYOUT: {
    fallback: defaultLayout,
    reader: read.layout,
    help: 'Where a file is filed. Tokens: media_id, user_id, content_type, year, month, day (of approval, UTC), filename, stem, ext, sha256, sha256_2.',
    example: "'{content_type}/{year}/{media_id}/{filename}'",
  },
  UMASK: {
    fallback: '022',
    reader: read.umask,
    help: 'Octal mask for the modes of archived files and folders.',
    example: '027',
  },
  INCOMING_DIR: {
    reader: read.text,
    help: 'Accepted for older set-ups and ignored: temporary files live inside ARCHIVE_DIR.',
    example: '/media/incoming',
  },
} as const satisfies Settings

const serveSettings = {
  SERVER_PORT: {
    fallback: '8080',
    reader: read.port,
    help: 'Port of the file server, the only one the tunnel needs to reach; 0 takes a free one.',
    example: '8080',
  },
  ADMIN_PORT: {
    fallback: '8081',
    reader: read.port,
    help: 'Port of /health and /health/deep with their details, for your own network; 0 takes a free one.',
    example: '8081',
  },
  SERVE_PATH_PREFIX: {
    reader: read.pathPrefix,
    help: 'Path that is stripped from requests first, for backends that build such URLs.',
    example: '/archive',
  },
  CORS_ORIGINS: {
    reader: read.origins,
    help: 'Sites whose pages may read files and errors by script or in a player with crossorigin, separated by commas, or * for all. With any of them set, players without crossorigin may show files everywhere (still only with a token); without, only on the same site, and Chromium takes an IP address with another port for another site.',
    example: 'https://app.example.org,https://www.example.org',
  },
  PUBLIC_URL: {
    reader: read.publicUrl,
    help: 'Where the file server is reached from outside; minted links begin with it.',
    example: 'https://media.example.org',
  },
  UNRAID_TUNNEL_SECRET: {
    requiredFor: 'tokens',
    secret: true,
    reader: read.secretText,
    help: 'The key that signs and opens tokens (HS256), shared with the backend: at least 32 bytes.',
    example: '"$(openssl rand -hex 32)"',
  },
  UNRAID_TUNNEL_SECRET_PREVIOUS: {
    secret: true,
    reader: read.secretText,
    help: 'The key before that, still accepted while tokens signed with it are in use.',
    example: '"$(cat old-tunnel-secret)"',
  },
  ALLOW_SHORT_SECRET: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True accepts a token secret of fewer than 32 bytes, which can be guessed from one token; each start warns of it.',
    example: 'true',
  },
  MAX_CONNECTIONS: {
    fallback: '1024',
    reader: read.wholeNumber(16, 100_000),
    help: 'Connections to the file server at one time, 16 to 100000; when one more comes, the one that was idle longest is closed for it.',
    example: '4096',
  },
  MAX_STREAMS_PER_USER: {
    fallback: '8',
    reader: read.wholeNumber(0, 100_000),
    help: 'Files that one user_id may receive at one time; up to 16 parallel requests with one token count as one, answers of up to 64 KiB not at all. What is over waits 4 seconds for its turn and then gets 429. 0 sets no limit.',
    example: '4',
  },
  MAX_STREAMS_PER_CLIENT: {
    fallback: '32',
    reader: read.wholeNumber(0, 100_000),
    help: 'The same for one address, whoever its users are; a tunnel that TRUSTED_PROXIES does not name is one address.',
    example: '64',
  },
  TOKEN_MAX_TTL: {
    fallback: '168h',
    reader: read.duration(upToTenYears),
    help: 'A token that is valid for longer, from now or from its iat, is refused.',
    example: '24h',
  },
  TOKEN_ALLOW_STRING_IDS: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True accepts media_id and user_id written as text, for backends that cannot send numbers.',
    example: 'true',
  },
  TOKEN_AUDIENCE: {
    reader: read.text,
    help: 'If set, a token must carry it as aud.',
    example: 'strongroom',
  },
  TOKEN_ISSUER: {
    reader: read.text,
    help: 'If set, a token must carry it as iss.',
    example: 'backend',
  },
  TOKEN_FAILURES_PER_MINUTE: {
    fallback: '60',
    reader: read.wholeNumber(0, 1_000_000),
    help: 'Requests without a valid token that a client may send in a minute before it gets 429; valid tokens of the same client go on working. 0 sets no limit.',
    example: '20',
  },
  TRUSTED_PROXIES: {
    reader: read.addressRanges,
    help: 'Addresses or ranges of the proxies (cloudflared) whose CF-Connecting-IP is believed; from all others it is ignored, and who comes through them counts as one client. A proxy that is listed must set the header itself.',
    example: '127.0.0.1,::1,172.18.0.2',
    compose: '172.30.83.2',
  },
  SENDFILE_HEADER: {
    reader: read.oneOf('X-Accel-Redirect', 'X-Sendfile'),
    help: 'X-Accel-Redirect lets nginx, X-Sendfile another front, send the files that it asks for with X-Sendfile-Type; it must be in TRUSTED_PROXIES. Who sends does not count: MAX_STREAMS_… do not hold for these files.',
    example: 'X-Accel-Redirect',
  },
  SENDFILE_PREFIX: {
    reader: read.folder,
    help: 'Where the front has the archive: with X-Accel-Redirect its internal location, with X-Sendfile the folder as it sees it, ARCHIVE_DIR if not set.',
    example: '/strongroom-archive/',
  },
} as const satisfies Settings

const programSettings = {
  SHUTDOWN_TIMEOUT: {
    fallback: '30s',
    reader: read.duration(upToAnHour),
    help: 'How long work in hand may take to finish after SIGTERM.',
    example: '30s',
  },
  MIGRATE_ON_START: {
    fallback: 'true',
    reader: read.yesNo,
    help: 'Bring the schema strongroom up to date at start; false leaves that to `strongroom migrate`.',
    example: 'false',
  },
  LOG_LEVEL: {
    fallback: 'info',
    reader: read.oneOf('debug', 'info', 'warn', 'error'),
    help: 'debug, info, warn or error.',
    example: 'debug',
  },
  LOG_FORMAT: {
    fallback: 'json',
    reader: read.oneOf('json', 'text'),
    help: 'json, one object a line, or text for people.',
    example: 'text',
  },
  TZ: {
    fallback: 'UTC',
    reader: read.timeZone,
    help: 'Time zone in which cron expressions are read; archive paths are always in UTC.',
    example: 'Europe/Berlin',
  },
} as const satisfies Settings

export const settings = {
  ...databaseSettings,
  ...bucketSettings,
  ...syncSettings,
  ...archiveSettings,
  ...serveSettings,
  ...programSettings,
  ...backendSettings,
}

/** The table's parts under their headings, in the order of the documentation. */
export const settingGroups: readonly (readonly [heading: string, group: Settings])[] = [
  ['Database', databaseSettings],
  ['Bucket', bucketSettings],
  ['Sync and release', syncSettings],
  ['Archive', archiveSettings],
  ['File server', serveSettings],
  ['Program', programSettings],
  ['The backend’s names', backendSettings],
]

export type SettingName = keyof typeof settings

/** Every setting's value; null where it is not set and has no default. */
export type SettingValues = ValuesOf<typeof settings>
