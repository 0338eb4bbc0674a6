import { type Disk, parentOf, segmentsOf } from './disk.ts'

/** Folders whose names are known to be durable. */
export interface DurableFolders {
  /**
   * Makes `folderPath` and every level above it, and syncs each level's name in its parent, once in this process's
   * lifetime: that a folder exists does not mean that its name would survive a power cut.
   */
  ensure(folderPath: string): Promise<void>
  /** Forgets what was seen, for when the volume below may be another one or a folder was removed. */
  forget(): void
}

/** @see safety.md "publish" */
export function createDurableFolders(disk: Disk): DurableFolders {
  const levels = new Map<string, Promise<void>>()

  function level(path: string): Promise<void> {
    const known = levels.get(path)
    if (known) return known
    const made = makeLevel(path)
    levels.set(path, made)
    made.catch(() => {
      if (levels.get(path) === made) levels.delete(path)
    })
    return made
  }

  async function makeLevel(path: string): Promise<void> {
    const parent = parentOf(path)
    if (parent !== '') await level(parent)
    await disk.makeFolder(path)
    await disk.syncFolder(parent)
  }

  return {
    async ensure(folderPath) {
      if (segmentsOf(folderPath).length > 0) await level(folderPath)
    },
    forget: () => levels.clear(),
  }
}
