/** What the checker judges by: a folder that tells what was stored, asked and left; see checker.py for the shapes. */
import { appendFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseConfig } from '../../src/config.ts'
import { listObjects } from '../support/checker.ts'
import type { BucketAdmin } from '../support/s3.ts'

export interface StoredVersion {
  what: 'upload'
  key: string
  media_id: number
  md5: string
  sha256: string
  bytes: number
  /** False: it is no valid media and must not be archived. */
  good: boolean
}

export interface AskedOfStore {
  what: 'request'
  method: string
  key: string
  if_match: string | null
  /** As the store answered; null when nobody knows whether it was done. */
  status: number | null
}

export type Event =
  | StoredVersion
  | AskedOfStore
  | { what: 'removed'; key: string }
  | { what: 'foreign'; path: string; sha256: string }
  | { what: 'damaged'; path: string }
  | { what: 'astray'; path: string }

export interface Evidence {
  readonly folder: string
  note(event: Event): void
  /** Writes down what the bucket holds now, if anything was noted since that may have changed it. */
  list(again?: 'again'): Promise<void>
}

/** Begins a world's evidence in `folder`, which is made. */
export async function openEvidence(
  folder: string,
  world: {
    archiveDir: string
    database: DatabaseConfig
    admin: Pick<BucketAdmin, 'client' | 'bucket'>
  },
): Promise<Evidence> {
  const { archiveDir, database, admin } = world
  await mkdir(folder, { recursive: true })
  const psql = {
    PGHOST: database.host,
    PGPORT: String(database.port),
    PGUSER: database.user,
    PGPASSWORD: database.password ?? '',
    PGDATABASE: database.database,
  }
  await writeFile(join(folder, 'world.json'), JSON.stringify({ archive: archiveDir, psql }))
  const events = join(folder, 'events.jsonl')
  await writeFile(events, '')
  let isListed = false
  return {
    folder,
    note(event) {
      isListed = false
      // At once and in order: a note that is lost would be a false verdict.
      appendFileSync(events, `${JSON.stringify(event)}\n`)
    },
    async list(again) {
      if (isListed && again === undefined) return
      isListed = true
      const objects = await listObjects({ client: admin.client, name: admin.bucket })
      await writeFile(
        join(folder, 'listing.json'),
        JSON.stringify(Object.fromEntries(objects), null, 1),
      )
    },
  }
}
