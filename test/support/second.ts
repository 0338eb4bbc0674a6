/** A second bucket for a worker in this process. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beginRemoval, endRemoval } from '../../src/db/removals.ts'
import { openSecondItems } from '../../src/db/second.ts'
import {
  filesInBoth,
  type MovableFile,
  movableFiles,
  movedItems,
} from '../../src/db/second-files.ts'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { systemCode } from '../../src/errors.ts'
import { openS3ForUploads } from '../../src/storage/s3-upload.ts'
import type { SecondParts } from '../../src/sync/second-copy.ts'
import { afterwards } from './afterwards.ts'
import { closed, type DemoBucket, withDemoBucket } from './demo-bucket.ts'
import { type Medium, sha256Of, sourceOf } from './media-rows.ts'
import type { Scope } from './scopes.ts'
import { LEASE_MS, type Site, type Worker } from './worker.ts'

export const PREFIX = 'archive/'

export interface Second {
  parts: SecondParts
  demo: DemoBucket
  /** Meets every request to the second bucket that it wants; none at first. */
  fault: (request: SeenRequest) => Fault | undefined
  movable(): Promise<MovableFile[]>
  /** Where the bytes of a medium lie, and what is said of it. */
  seen(medium: Medium): Promise<Whereabouts>
}

export interface Whereabouts {
  state: string
  /** The archived file has its bytes. */
  here: boolean
  /** The object in the second bucket has them. */
  there: boolean
  leased: boolean
  damage: string | null
}

/** @param shared the second bucket of another worker; without it one of its own */
export async function withSecond(
  t: Scope,
  site: Site,
  worker: Worker,
  shared?: DemoBucket,
): Promise<Second> {
  const demo =
    shared ?? (await withDemoBucket(t, { onRequest: (request) => second.fault(request) }))
  const bucket = openS3ForUploads(demo.config, { settings: 'SECOND' })
  afterwards(t, () => closed(bucket))
  const { database } = site
  const { volume } = worker.parts
  const second: Second = {
    demo,
    fault: () => undefined,
    parts: {
      ...worker.parts,
      second: openSecondItems({
        database,
        owner: crypto.randomUUID(),
        leaseMs: LEASE_MS,
        archiveId: volume.id,
      }),
      bucket,
      prefix: PREFIX,
      node: 'here',
      begin: (removal) => beginRemoval(database, removal),
      end: (id, outcome) => endRemoval(database, id, outcome),
    },
    movable: () => movableFiles(database, { after: null, limit: 100, ageMs: 0 }),
    async seen({ mediaId, bytes }) {
      const [row] = await site.sql<
        { state: string; archive_path: string; leased: boolean; damage: string | null }[]
      >`
        select state, archive_path, coalesce(lease_until > clock_timestamp(), false) as leased, damage
        from strongroom.items where media_id = ${mediaId} order by generation desc limit 1`
      assert.ok(row)
      const file = await readFile(join(site.archiveDir, row.archive_path)).catch((error) => {
        if (systemCode(error) === 'ENOENT') return null
        throw error
      })
      const object = await sourceOf(
        { sql: site.sql, admin: demo.admin },
        `${PREFIX}${row.archive_path}`,
      )
      const isWhole = (found: Buffer | null) =>
        found !== null && sha256Of(found) === sha256Of(bytes)
      const { state, leased, damage } = row
      return { state, here: isWhole(file), there: isWhole(object), leased, damage }
    },
  }
  return second
}

export async function movedFile(site: Site, item: number) {
  const [file] = await movedItems(site.database, [item])
  return file ?? null
}

export function inBoth(site: Site) {
  return filesInBoth(site.database, { after: 0, limit: 100 })
}
