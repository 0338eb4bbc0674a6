/** A second bucket for a worker in this process. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
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
import { moveFile } from '../../src/sync/move.ts'
import type { Reached } from '../../src/sync/parts.ts'
import type { SecondParts } from '../../src/sync/second-copy.ts'
import { afterwards } from './afterwards.ts'
import { closed, type DemoBucket, withDemoBucket } from './demo-bucket.ts'
import { approveMedium, type Medium, sha256Of, sourceOf } from './media-rows.ts'
import type { Scope } from './scopes.ts'
import { LEASE_MS, never, openWorker, type Site, type Worker, withSite } from './worker.ts'

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

export interface Released {
  site: Site
  worker: Worker
  second: Second
  media: [Medium, ...Medium[]]
}

/** So many media that are archived, their sources gone, and a second bucket that has none of them yet. */
export async function withReleased(
  t: Scope,
  { count = 1, reached = () => {} }: { count?: number; reached?: Reached } = {},
): Promise<Released> {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { reached })
  const media: Released['media'] = [await approveMedium(site)]
  for (let n = 1; n < count; n++) media.push(await approveMedium(site))
  await worker.sync()
  await worker.release()
  return { site, worker, media, second: await withSecond(t, site, worker) }
}

/** Moves the only one of them. @returns where it lay in the archive, and where it lies in the second bucket */
export async function moveOnly({ site, second }: Released) {
  const [movable] = await second.movable()
  assert.ok(movable)
  assert.ok('bytes' in (await moveFile(second.parts, movable, never)))
  const file = await movedFile(site, movable.item)
  assert.ok(file)
  const { archivePath } = file
  return { file, path: join(site.archiveDir, archivePath), key: `${PREFIX}${archivePath}` }
}

export async function movedFile(site: Site, item: number) {
  const [file] = await movedItems(site.database, [item])
  return file ?? null
}

/** What the files in quarantine say. */
export async function quarantined({ archiveDir }: Site): Promise<string[]> {
  const folder = join(archiveDir, '.strongroom/quarantine')
  const lies = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = lies.filter((entry) => entry.isFile())
  return Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'utf8')))
}

export function inBoth(site: Site) {
  return filesInBoth(site.database, { after: 0, limit: 100 })
}
