/** A service that has archived something, and what the program says of such archives. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Scope } from './scopes.ts'
import { type Ended, type Service, type ServiceOptions, story, withService } from './service.ts'

export interface Archived {
  service: Service
  /** Of the archived files, relative; by media id, which counts from 1. */
  paths: string[]
  at: (path: string) => string
}

/** A service with `count` archived files. */
export async function withArchived(
  t: Scope,
  count: number,
  options: ServiceOptions = {},
): Promise<Archived> {
  const service = await withService(t, options)
  await service.approve(count)
  const synced = await service.run(['sync', '--once'])
  assert.equal(synced.code, 0, story(synced))
  const rows = await service.sql<{ archive_path: string }[]>`
    select archive_path from strongroom.items order by media_id`
  const at = (path: string) => join(service.archiveDir, path)
  return { service, paths: rows.map((row) => row.archive_path), at }
}

/** The lines of JSON that a program printed, the last of them its summary. */
export function toldBy<Found>({ stdout }: Ended): {
  found: Found[]
  summary: Record<string, unknown>
} {
  const lines = stdout.trimEnd().split('\n')
  const parsed = lines.map((line) => JSON.parse(line) as unknown)
  return {
    found: parsed.slice(0, -1) as Found[],
    summary: parsed.at(-1) as Record<string, unknown>,
  }
}
