import { createHash } from 'node:crypto'
import { type AppError, isAppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import { newFilesIn } from '../storage/new-files.ts'
import { type PinnedFile, pinInside } from '../storage/pinned-file.ts'
import { isObject } from './old-sidecar.ts'

const SIDECAR_MAX_BYTES = 1024 * 1024

/** A folder of the other service: only read, and only what has come into it since the shadow began is listed. */
export interface OldFolder {
  /** Files without their sidecars; of those of a medium whoever asks takes the name with him. */
  fresh: Map<string, number>
  /** Pins the file while `work` reads it. @returns why not, where there is no such file */
  withFile<T>(path: string, work: (file: PinnedFile) => Promise<T>): Promise<T | AppError>
  sha256(path: string): Promise<string | null>
  /** What lies beside the file under one of the usual names of a sidecar. */
  sidecarOf(path: string): Promise<Record<string, unknown> | null>
  isThere(path: string): Promise<boolean>
}

export async function openOldFolder(
  disk: Pick<Disk, 'root' | 'read' | 'stat'>,
  options: { since: Date; skip: readonly string[]; signal: AbortSignal },
): Promise<OldFolder> {
  const { signal } = options
  const fresh = new Map<string, number>()
  for await (const { path, sizeBytes } of newFilesIn(disk.root, options))
    if (!path.toLowerCase().endsWith('.json')) fresh.set(path, sizeBytes)
  const withFile: OldFolder['withFile'] = async (path, work) => {
    try {
      const file = await pinInside(disk.root, path)
      try {
        return await work(file)
      } finally {
        await file.close()
      }
    } catch (error) {
      if (isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE', 'DISK_DENIED')) return error
      throw error
    }
  }
  return {
    fresh,
    withFile,
    async sha256(path) {
      const found = await withFile(path, (file) => hashOf(file, signal))
      return typeof found === 'string' ? found : null
    },
    async sidecarOf(path) {
      for (const name of sidecarNames(path)) {
        const bytes = await readQuietly(disk, name)
        const sidecar = bytes === null ? null : parsed(bytes)
        if (sidecar !== null) return sidecar
      }
      return null
    },
    isThere: async (path) => (await disk.stat(path)) !== null,
  }
}

export async function hashOf(file: PinnedFile, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of file.chunks(signal)) hash.update(chunk)
  return hash.digest('hex')
}

function sidecarNames(path: string): string[] {
  const stem = path.replace(/\.[A-Za-z0-9]{1,12}$/, '')
  return [path, stem].flatMap((base) => [
    `${base}.json`,
    `${base}.meta.json`,
    `${base}.metadata.json`,
  ])
}

/** What cannot be read is no sidecar that could be compared. */
async function readQuietly(disk: Pick<Disk, 'read'>, path: string): Promise<Buffer | null> {
  try {
    return await disk.read(path, SIDECAR_MAX_BYTES)
  } catch (error) {
    if (isAppError(error, 'PATH_UNSAFE', 'DISK_DENIED')) return null
    throw error
  }
}

function parsed(bytes: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isObject(value) ? value : null
  } catch {
    // Not JSON at all.
    return null
  }
}
