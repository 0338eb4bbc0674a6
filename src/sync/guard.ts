import type { Archives } from '../db/archives.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import { inSharedTurns } from './shared-turns.ts'

/**
 * The same disk, on which the first failed sync of a name or of a filed file is the last: it is latched in the database, and
 * nothing is synced again until a person has cleared that. After a failed sync a second one may succeed although the data
 * is gone (PostgreSQL's "fsyncgate", 2018). A temporary is simply written anew; what has its final name cannot be, and
 * neither can the other names in its folder. Those who file into one folder at the same time share its syncs.
 */
export function guardSyncs(disk: Disk, archives: Pick<Archives, 'find' | 'latchSick'>): Disk {
  let failure: AppError | null = null
  let latched = false

  const latch = async (error: AppError) => {
    failure = error
    latched = false
    await archives.latchSick(error.message)
    latched = true
  }
  const refuseWhileSick = async () => {
    if (failure === null) return
    if (!latched) await latch(failure)
    if ((await archives.find())?.sick !== null) throw sick(failure)
    failure = null
  }
  const guarded = async (sync: () => Promise<void>) => {
    await refuseWhileSick()
    try {
      await sync()
    } catch (error) {
      if (!isAppError(error, 'DISK_SICK')) throw error
      await latch(error)
      throw sick(error)
    }
    // Another sync failed meanwhile; this one may have succeeded only because of that.
    if (failure !== null) throw sick(failure)
  }
  const syncFolder = inSharedTurns((path) => disk.syncFolder(path))
  return {
    ...disk,
    syncFile: (path) => guarded(() => disk.syncFile(path)),
    syncFolder: (path) => guarded(() => syncFolder(path)),
  }
}

function sick(cause: AppError): AppError {
  return new AppError('DISK_SICK', `a sync to the archive disk failed: ${cause.message}`, {
    cause,
    hint: 'nothing is claimed, recorded or released; check the disk, mount it anew, then run "strongroom accept-volume"',
  })
}
