import { cleanable } from '../../set-aside.ts'
import type { Settings } from '../setting.ts'
import * as sizes from '../sizes.ts'
import * as read from '../values.ts'

const hour = 3_600_000

export const spaceSettings = {
  FREE_SPACE_MIN: {
    fallback: '1%',
    reader: sizes.amount,
    help: 'What stays free on the disk of ARCHIVE_DIR: with less, and what downloads under way are still to write taken off, nothing more is claimed until there is room again. Bytes with a unit, or a part of the disk; 0 turns it off.',
    example: '20GiB',
  },
  FREE_SPACE_TARGET: {
    reader: sizes.amount,
    help: 'Up to how much free space FREE_SPACE_CLEAN makes room once there is less than FREE_SPACE_MIN; not set means no more than that.',
    example: '40GiB',
  },
  FREE_SPACE_CLEAN: {
    reader: read.someOf(...cleanable),
    help: 'What may be removed to make room, oldest first; not set means nothing. errors: copies of rejected media and their reports; withdrawn: copies whose media row had changed; quarantine: what was not what had been archived; archived: archived files whose source is gone, after all others, each moved to the second bucket (SECOND_BUCKET) and read back there first, never just deleted.',
    example: 'errors,withdrawn',
  },
  FREE_SPACE_CLEAN_AGE: {
    fallback: '720h',
    reader: read.duration({ min: hour, max: 87_600 * hour, words: 'from 1h to 87600h' }),
    help: 'How long such a file must have lain there before it may be removed; for archived files see FREE_SPACE_ARCHIVED_AGE.',
    example: '168h',
  },
  FREE_SPACE_ARCHIVED_AGE: {
    fallback: '8760h',
    reader: read.duration({ min: hour, max: 87_600 * hour, words: 'from 1h to 87600h' }),
    help: 'How long ago a file must have been archived, or last brought back, before FREE_SPACE_CLEAN=archived may move it to the second bucket.',
    example: '4380h',
  },
  SPACE_CHECK_INTERVAL: {
    fallback: '1GiB',
    reader: sizes.size(2 ** 20, 'of at least 1MiB'),
    help: 'After how many bytes written the disk is looked at again, because others write there too; never more than half of FREE_SPACE_MIN.',
    example: '256MiB',
  },
} as const satisfies Settings
