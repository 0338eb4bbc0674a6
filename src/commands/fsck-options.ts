import type { Need } from '../config/setting.ts'
import { AppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import { fsckCommand } from './fsck.ts'
import { rebuildCommand } from './rebuild.ts'

/** As the command line has them. */
export interface FsckOptions {
  repair?: boolean
  relocate?: boolean
  fromSidecars?: boolean
  confirm?: boolean
  json?: boolean
}

/** Only a repair asks the bucket; to look at things takes no more than the database. @throws USAGE for a mixture */
export function needsOfFsck(options: FsckOptions): Need[] {
  return wayOf(options) === 'repair' ? ['database', 'bucket'] : ['database']
}

/** @returns the exit code */
export function runFsck(
  host: Host,
  { options, ...run }: Session & { options: FsckOptions },
): Promise<number> {
  const { json = false, confirm: confirmed = false, repair: healing = false } = options
  const way = wayOf(options)
  if (way === 'from-sidecars') return rebuildCommand(host, run.config, { ...run, confirmed, json })
  const repairing = way === 'repair' ? { healing, confirmed } : null
  return fsckCommand(host, run.config, { ...run, repairing, json })
}

function wayOf(options: FsckOptions): 'look' | 'repair' | 'from-sidecars' {
  const { fromSidecars = false, repair = false, relocate = false, confirm = false } = options
  if (fromSidecars && (repair || relocate))
    throw new AppError('USAGE', '--from-sidecars goes alone: repair what is wrong afterwards')
  if (fromSidecars) return 'from-sidecars'
  if (repair && relocate)
    throw new AppError('USAGE', '--repair moves files back, too, and more: give one of them')
  if (repair || relocate) return 'repair'
  if (confirm)
    throw new AppError('USAGE', '--confirm goes with --repair, --relocate or --from-sidecars')
  return 'look'
}
