/**
 * The service that Strongroom replaces, as faithfully as a test can have it: a loop that copies each approved object, asks
 * ffprobe, moves the file into the archive, writes a sidecar, updates the row, writes an audit row and deletes the source.
 * It believes exit codes, syncs nothing and hashes what it wrote, not what it should have written.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { promisify } from 'node:util'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { Service } from './service.ts'

/** What goes wrong for one medium, and nothing else. */
export type Plant =
  | 'missed'
  | 'other bytes'
  | 'truncated'
  | 'other path'
  | 'rejects'
  | 'status not updated'
  | 'audit missing'
  | 'audit doubled'
  | 'source not deleted'
  | 'source deleted too early'
  | 'sidecar with a wrong fact'

export interface OldRow {
  id: number
  user_id: number
  title: string
  filename: string
  content_type: string
  mime_type: string
  object_key: string
  approved_at: Date
}

export interface OldService {
  /** One round of its loop over all that is approved. */
  round(plants?: ReadonlyMap<number, Plant>): Promise<void>
  /** What it does with one row. */
  handle(row: OldRow, plant?: Plant): Promise<void>
}

/** @param pathOf where it files a row, relative to the archive */
export function oldService(
  service: Pick<Service, 'sql' | 'admin' | 'archiveDir' | 'errorDir'>,
  pathOf: (row: OldRow) => string = strongroomsPath,
): OldService {
  const incoming = join(dirname(service.archiveDir), 'incoming')
  const handle: OldService['handle'] = async (row, plant) => {
    const { sql, admin, archiveDir, errorDir } = service
    if (plant === 'missed') return
    if (plant === 'source deleted too early') return admin.delete(row.object_key)
    // Its extension is what ffprobe goes by.
    const temporary = join(incoming, `${row.id}${extname(row.object_key)}`)
    const bytes = await fetched(service, row.object_key)
    // As rclone does when there is no such object: the loop goes on with the next row.
    if (bytes === null) return
    await place(temporary, bytes)
    if (plant === 'rejects' || !(await probes(temporary))) {
      await mkdir(errorDir, { recursive: true })
      await rename(temporary, join(errorDir, basename(row.object_key)))
      return
    }
    const path = plant === 'other path' ? `misfiled/${basename(pathOf(row))}` : pathOf(row)
    const written = spoil(bytes, plant)
    await rm(temporary)
    await place(join(archiveDir, path), written)
    const sidecar = JSON.stringify(sidecarOf(row, { path, bytes: written, plant }))
    await writeFile(join(archiveDir, `${path}.json`), sidecar)
    if (plant !== 'status not updated')
      await sql`
        update media set status = 'archived', archive_path = ${join(archiveDir, path)},
          archived_at = now(), updated_at = now() where id = ${row.id}`
    const audits = plant === 'audit missing' ? 0 : plant === 'audit doubled' ? 2 : 1
    for (let n = 0; n < audits; n++)
      await sql`insert into audit_logs (media_id, action) values (${row.id}, 'archived')`
    if (plant !== 'source not deleted') await admin.delete(row.object_key)
  }
  return {
    handle,
    async round(plants = new Map()) {
      const rows = await service.sql<OldRow[]>`
        select id::int, user_id::int, title, filename, content_type, mime_type, object_key, approved_at
        from media where status = 'approved' order by approved_at`
      for (const row of rows) await handle(row, plants.get(row.id))
    },
  }
}

/** The default of ARCHIVE_LAYOUT. */
function strongroomsPath({ id, filename, approved_at: at }: OldRow): string {
  const [year, month] = at.toISOString().split('-')
  return `${year}/${month}/${id}/${filename}`
}

async function place(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
}

async function fetched({ admin }: Pick<Service, 'admin'>, key: string): Promise<Buffer | null> {
  try {
    const command = new GetObjectCommand({ Bucket: admin.bucket, Key: key })
    const { Body } = await admin.client.send(command)
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  } catch (error) {
    if (error instanceof Error && error.name === 'NoSuchKey') return null
    throw error
  }
}

async function probes(path: string): Promise<boolean> {
  try {
    await promisify(execFile)('ffprobe', ['-v', 'error', path])
    return true
  } catch {
    // Its exit code is all that it looks at.
    return false
  }
}

function spoil(bytes: Buffer, plant: Plant | undefined): Buffer {
  if (plant === 'truncated') return bytes.subarray(0, bytes.length >> 1)
  const copy = Buffer.from(bytes)
  if (plant === 'other bytes') copy.writeUInt8(copy.readUInt8(copy.length - 9) ^ 1, copy.length - 9)
  return copy
}

function sidecarOf(
  row: OldRow,
  { path, bytes, plant }: { path: string; bytes: Buffer; plant: Plant | undefined },
): Record<string, unknown> {
  return {
    id: row.id,
    userId: row.user_id,
    title: row.title,
    original_name: row.filename,
    content_type: row.mime_type,
    size: plant === 'sidecar with a wrong fact' ? bytes.length + 1 : bytes.length,
    checksum: createHash('sha256').update(bytes).digest('hex'),
    source: { key: row.object_key },
    path,
    archived_by: 'r2-sync.sh',
  }
}

/** For tests that look at a file as it was put down. */
export function readArchived(service: Pick<Service, 'archiveDir'>, path: string): Promise<Buffer> {
  return readFile(join(service.archiveDir, path))
}
