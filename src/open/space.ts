import { bytesOf } from '../config/sizes.ts'
import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import type { Disk } from '../storage/disk.ts'
import { createRoom, type MakeRoom, type Room, type SpaceChange } from '../sync/room.ts'
import { createSpace, type Space } from '../sync/space.ts'

/** The free space of both disks; one and the same where ERROR_DIR is on the archive's. */
export async function openSpaces(
  { space: { minimum, checkEveryBytes } }: Pick<Config, 'space'>,
  { disk, errorDisk }: { disk: Disk; errorDisk: Disk },
): Promise<{ space: Space; errorSpace: Space }> {
  const space = createSpace(disk, {
    minBytesOf: (totalBytes) => bytesOf(minimum, totalBytes),
    checkEveryBytes,
  })
  const isSame = (await disk.stat(''))?.device === (await errorDisk.stat(''))?.device
  return { space, errorSpace: isSame ? space : createSpace(errorDisk) }
}

interface WaitingParts {
  space: Space
  errorSpace: Space
  makeRoom?: MakeRoom
  log: Log
}

/** Where runs wait for room; `changed` hears when that begins and when it is over. */
export function openRoom(
  { space, errorSpace, makeRoom, log }: WaitingParts,
  changed: (change: SpaceChange) => void = () => {},
): Room {
  return createRoom({ spaces: [space, errorSpace], ...(makeRoom && { makeRoom }), changed, log })
}
