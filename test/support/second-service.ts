/** An installation of the program with a second bucket, from which archived files may go at once. */
import assert from 'node:assert/strict'
import { readFile, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { BucketConfig } from '../../src/config.ts'
import { systemCode } from '../../src/errors.ts'
import { sha256Of, sourceOf } from './media-rows.ts'
import { type BucketAdmin, withBucket } from './s3.ts'
import type { Scope } from './scopes.ts'
import { type Env, type Service, story, withService } from './service.ts'

export interface SecondService {
  service: Service
  /** Of the second bucket. */
  admin: BucketAdmin
  /** The settings of the second bucket, and of cleaning that wants more than there is. */
  moving: Env
  /** What was archived, by media id: its path. */
  paths: Map<number, string>
  /** For each medium its state and where its bytes lie. */
  seen(): Promise<Seen[]>
}

export interface Seen {
  mediaId: number
  state: string
  here: boolean
  there: boolean
}

export function secondEnv(config: BucketConfig): Env {
  return {
    SECOND_ENDPOINT: config.endpoint,
    SECOND_BUCKET: config.bucket,
    SECOND_REGION: config.region,
    SECOND_ACCESS_KEY: config.accessKey,
    SECOND_SECRET_KEY: config.secretKey,
    SECOND_PREFIX: 'copies/',
  }
}

/** Path → digest, or what else it is, of a {@link tree}. */
export function contentsOf(tree: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).map(([path, facts]) => [path, facts.split(' ').at(-1) ?? '']),
  )
}

/** So many media, archived a day ago, their sources gone. */
export async function withSecondService(
  t: Scope,
  count: number,
  second?: { config: BucketConfig; admin: BucketAdmin },
): Promise<SecondService> {
  const service = await withService(t, { env: { RELEASE_GRACE: '0', LOG_FORMAT: 'text' } })
  const { config, admin } = second ?? (await withBucket(t))
  const uploads = await service.approve(count)
  const synced = await service.run(['sync', '--once'])
  assert.equal(synced.code, 0, story(synced))
  await service.sql`update strongroom.items set archived_at = archived_at - interval '1 day'`
  const rows = await service.sql<{ media_id: number; archive_path: string }[]>`
    select media_id, archive_path from strongroom.items where state = 'released'`
  const paths = new Map(rows.map((row) => [row.media_id, row.archive_path]))
  assert.equal(paths.size, count)
  const place = { sql: service.sql, admin }
  const { blocks, bsize } = await statfs(service.archiveDir)
  const seeOne = async (mediaId: number, state: string): Promise<Seen> => {
    const path = paths.get(mediaId) ?? ''
    const sha256 = uploads.find((upload) => upload.mediaId === mediaId)?.sha256
    const isIt = (bytes: Buffer | null) => bytes !== null && sha256Of(bytes) === sha256
    const file = await readFile(join(service.archiveDir, path)).catch((error) => {
      if (systemCode(error) === 'ENOENT') return null
      throw error
    })
    return {
      mediaId,
      state,
      here: isIt(file),
      there: isIt(await sourceOf(place, `copies/${path}`)),
    }
  }
  return {
    service,
    admin,
    paths,
    moving: {
      ...secondEnv(config),
      FREE_SPACE_CLEAN: 'archived',
      FREE_SPACE_ARCHIVED_AGE: '1h',
      // As much as the disk has: more is asked for in vain.
      FREE_SPACE_MIN: `${blocks * bsize}`,
    },
    async seen() {
      const states = await service.sql<{ media_id: number; state: string }[]>`
        select media_id, state from strongroom.items order by media_id`
      return Promise.all(states.map(({ media_id, state }) => seeOne(media_id, state)))
    },
  }
}
