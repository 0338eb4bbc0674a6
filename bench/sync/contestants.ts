import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { databaseEnv, type TestDatabase } from '../../test/support/postgres.ts'
import { assertArchived } from '../backend.ts'
import type { BenchObject } from './bucket.ts'

/** Where one run happens. */
export interface Place {
  /** Empty. */
  archiveDir: string
  errorDir: string
  endpoint: string
  bucket: string
  database: TestDatabase['config']
  objects: readonly BenchObject[]
}

export interface Contestant {
  name: string
  /** Run on so many objects only, because it takes so long. */
  atMost?: number
  /** What is done once in an installation's life, and is not measured. */
  prepare?(place: Place): string[]
  command(place: Place): string[]
  env(place: Place): Record<string, string>
  /** A run that left work undone measures nothing. */
  check?(after: Place & { sql: TestDatabase['sql']; left: number }): Promise<void>
}

const PATH = '/usr/local/bin:/usr/bin:/bin'
const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'strongroom')
const access = { key: 'bench-key', secret: 'bench-secret' }

/** The file and its folder are made durable, as an archive must be; rclone itself syncs nothing. */
export function rcloneFile(name: string, ...options: string[]): Contestant {
  return {
    name,
    command: ({ bucket, objects, archiveDir }) => {
      const [object] = objects
      const target = join(archiveDir, object?.key ?? '')
      const script = 'target=$1; shift; rclone copyto "$@" "$target" && sync "$target" "$0"'
      const source = `b:${bucket}/${object?.key}`
      return ['/bin/bash', '-c', script, archiveDir, target, ...options, source]
    },
    env: rcloneEnv,
  }
}

/** Transfers alone: no validation, no hash of its own, nothing made durable, nothing recorded. */
export function rcloneCopy(name: string, ...options: string[]): Contestant {
  return {
    name,
    command: ({ bucket, archiveDir }) => ['rclone', 'copy', ...options, `b:${bucket}`, archiveDir],
    env: rcloneEnv,
    check: async (after) => assertFiles(after, 1),
  }
}

export const awsCopy: Contestant = {
  name: 'aws s3 cp --recursive',
  command: ({ bucket, archiveDir, endpoint }) => [
    ...['aws', 's3', 'cp', '--quiet', '--recursive', '--endpoint-url', endpoint],
    ...[`s3://${bucket}`, archiveDir],
  ],
  env: () => ({
    PATH: `${process.env.PATH ?? PATH}`,
    HOME: homedir(),
    AWS_ACCESS_KEY_ID: access.key,
    AWS_SECRET_ACCESS_KEY: access.secret,
    AWS_DEFAULT_REGION: 'auto',
  }),
  check: async (after) => assertFiles(after, 1),
}

export const curl: Contestant = {
  name: 'curl, then sync',
  command: ({ endpoint, bucket, objects, archiveDir }) => {
    const [object] = objects
    const target = join(archiveDir, object?.key ?? '')
    const script = 'curl -sSfo "$1" "$2" && sync "$1" "$3"'
    return [
      '/bin/bash',
      '-c',
      script,
      'curl',
      target,
      `${endpoint}/${bucket}/${object?.key}`,
      archiveDir,
    ]
  },
  env: () => ({ PATH }),
}

/** The most that a validation by Debian's ffprobe allows: nothing else, on all cores, of files that lie there already. */
export const bareProbe: Contestant = {
  name: "bound: Debian's ffprobe on all cores",
  atMost: 100,
  command: ({ objects }) => [
    '/bin/bash',
    '-c',
    'printf "%s\\0" "$@" | xargs -0 -n 1 -P "$(nproc)" ffprobe -v error -show_format -show_streams -of json >/dev/null',
    'probe',
    ...objects.map(({ path }) => path),
  ],
  env: () => ({ PATH }),
}

export const oldLoop: Contestant = {
  name: 'the old loop',
  atMost: 24,
  command: () => [join(import.meta.dirname, 'old-loop.sh')],
  env: (place) => ({
    ...rcloneEnv(place),
    ARCHIVE_DIR: place.archiveDir,
    PGHOST: place.database.host,
    PGPORT: String(place.database.port),
    PGUSER: place.database.user,
    PGPASSWORD: place.database.password ?? '',
    PGDATABASE: place.database.database,
  }),
  async check({ sql, objects, left }) {
    await assertArchived(sql, objects)
    assert.equal(left, 0, 'sources left')
  },
}

/** One whole sync with the settings that it has by itself. */
export function strongroom(
  name: string,
  settings: Record<string, string> = {},
  program = PROGRAM,
): Contestant {
  const env = (place: Place) => ({
    PATH,
    ...databaseEnv(place.database),
    R2_ENDPOINT: place.endpoint,
    R2_BUCKET: place.bucket,
    R2_ACCESS_KEY: access.key,
    R2_SECRET_KEY: access.secret,
    ARCHIVE_DIR: place.archiveDir,
    ERROR_DIR: place.errorDir,
    FFPROBE_SMALL_PATH: smallProbe(),
    RELEASE_GRACE: '0',
    ...settings,
  })
  return {
    name,
    prepare: () => [program, 'init-volume'],
    command: () => [program, 'sync', '--once'],
    env,
    check: async (after) => {
      const released = env(after).RELEASE_GRACE === '0'
      await assertArchived(after.sql, after.objects)
      assert.equal(after.left, released ? 0 : after.objects.length, 'sources left')
    },
  }
}

/** Where `make ffprobe` puts it. */
function smallProbe(): string {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'strongroom-ffprobe')
  const newest = readdirSync(cache).sort().at(-1)
  if (newest === undefined) throw new Error('there is no small ffprobe: run "make ffprobe"')
  return join(cache, newest, 'ffprobe')
}

function rcloneEnv({ endpoint }: Place): Record<string, string> {
  return {
    PATH,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_B_TYPE: 's3',
    RCLONE_CONFIG_B_PROVIDER: 'Other',
    RCLONE_CONFIG_B_ENDPOINT: endpoint,
    RCLONE_CONFIG_B_ACCESS_KEY_ID: access.key,
    RCLONE_CONFIG_B_SECRET_ACCESS_KEY: access.secret,
  }
}

function assertFiles({ archiveDir, objects }: Place, each: number): void {
  const names = readdirSync(archiveDir, { recursive: true, withFileTypes: true })
  assert.equal(names.filter((entry) => entry.isFile()).length, objects.length * each)
}
