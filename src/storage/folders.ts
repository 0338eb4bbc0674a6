import { type Disk, parentOf, segmentsOf } from './disk.ts'

/** Folders whose names are known to be durable. */
export interface DurableFolders {
  /**
   * Makes `folderPath` and every level above it, and syncs each level's name in its parent, once in this process's
   * lifetime: that a folder exists does not mean that its name would survive a power cut.
   */
  ensure(folderPath: string): Promise<void>
  /**
   * The same, whatever was seen before: for where a file is missing, with its folder perhaps. Asked for only once it is known
   * that the volume is there, for what is not there is made.
   */
  ensureAnew(folderPath: string): Promise<void>
  /** Forgets what was seen, for when the volume below may be another one or a folder was removed. */
  forget(): void
}

/** Archives have a folder for each medium: to remember all of them would take a little more memory with each. */
const MOST_KNOWN = 10_000

/**
 * @param mostKnown of so many levels it remembers that they are durable, those that were asked for last; of others that is
 *   made sure anew, which costs a sync and is never wrong
 * @see safety.md "publish"
 */
export function createDurableFolders(disk: Disk, mostKnown = MOST_KNOWN): DurableFolders {
  const levels = new Map<string, Promise<void>>()

  const remember = (path: string, made: Promise<void>) => {
    levels.delete(path)
    levels.set(path, made)
    const [oldest] = levels.keys()
    if (levels.size > mostKnown && oldest !== undefined) levels.delete(oldest)
  }

  function level(path: string): Promise<void> {
    const known = levels.get(path)
    if (known) {
      remember(path, known)
      return known
    }
    const made = makeLevel(path)
    remember(path, made)
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

  async function ensure(folderPath: string): Promise<void> {
    if (segmentsOf(folderPath).length > 0) await level(folderPath)
  }

  return {
    ensure,
    async ensureAnew(folderPath) {
      for (let path = folderPath; path !== ''; path = parentOf(path)) levels.delete(path)
      await ensure(folderPath)
    },
    forget: () => levels.clear(),
  }
}
