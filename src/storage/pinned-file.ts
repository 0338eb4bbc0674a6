import { lstat, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { attempt, chunksFrom, openFile } from './file-io.ts'

/** A regular file held open, so that what is hashed, judged and described is one file, whatever is renamed meanwhile. */
export interface PinnedFile {
  /** Where it really lies: absolute, without a link on the way. */
  realPath: string
  sizeBytes: number
  /** By the file system's clock. */
  modifiedAt: Date
  /** Opens the same file by a name without an extension, by which some programs go. */
  neutralPath: string
  /** From its beginning to its end, once. A chunk is valid until the next one is asked for. */
  chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>
  /** False when it was written to, replaced or moved since it was pinned. */
  isUnchanged(): Promise<boolean>
  close(): Promise<void>
}

/** @throws FILE_MISSING, PATH_UNSAFE (a symbolic link, a folder, a device …), DISK_* */
export async function pinFile(path: string): Promise<PinnedFile> {
  const file = await openFile(path)
  const { handle } = file
  try {
    const facts = () => attempt('look at', path, () => handle.stat({ bigint: true }))
    const first = await facts()
    const realPath = await readlink(`/proc/self/fd/${handle.fd}`)
    const me = await readlink('/proc/self')
    return {
      realPath,
      sizeBytes: Number(first.size),
      modifiedAt: first.mtime,
      neutralPath: `/proc/${me}/fd/${handle.fd}`,
      chunks: (signal) => chunksFrom(file, path, signal),
      async isUnchanged() {
        const now = await attempt('look at', path, () => statOrNull(realPath))
        return (
          now !== null &&
          (['dev', 'ino', 'size', 'mtimeNs'] as const).every((fact) => now[fact] === first[fact])
        )
      },
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * The same for a path below `root`, no part of which may be a link.
 *
 * @throws PATH_UNSAFE for one that leads elsewhere
 */
export async function pinInside(root: string, path: string): Promise<PinnedFile> {
  const file = await pinFile(join(root, path))
  try {
    const wanted = join(await attempt('look at', root, () => realpath(root)), path)
    if (file.realPath === wanted) return file
    throw new AppError('PATH_UNSAFE', `${path} leads to ${file.realPath}`)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function statOrNull(path: string) {
  try {
    return await lstat(path, { bigint: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}
