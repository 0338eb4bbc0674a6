import { randomUUID } from 'node:crypto'
import { dirname } from 'node:path/posix'
import type { Disk } from '../storage/disk.ts'

/** Writes or replaces a small file, so that a crash leaves the former or the new one whole. @throws DISK_* */
export async function replaceJson(disk: Disk, path: string, value: unknown): Promise<void> {
  const folder = dirname(path)
  const temporary = `${folder}/.${randomUUID()}`
  const file = await disk.create(temporary)
  try {
    await file.write(Buffer.from(`${JSON.stringify(value, null, 2)}\n`))
    await file.seal(0o644)
    await disk.rename(temporary, path)
    await disk.syncFolder(folder)
  } catch (error) {
    await file.close()
    await disk.unlink(temporary)
    throw error
  }
}
