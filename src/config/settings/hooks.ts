import * as notify from '../notify-values.ts'
import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { upToAnHour } from './durations.ts'

export const hookSettings = {
  HOOK_PRE_SYNC: {
    reader: notify.command,
    help: 'Program that runs before each sync; if it fails the sync is skipped (exit code 75: quietly).',
    example: '/usr/local/bin/wake-disks --wait',
  },
  HOOK_POST_SYNC: {
    reader: notify.command,
    help: 'Program that runs after each sync, whatever became of it.',
    example: 'sh -c \'echo "$STRONGROOM_RUN_STATUS" >> /var/log/syncs\'',
  },
  HOOK_ITEM_ARCHIVED: {
    reader: notify.command,
    help: 'Program that runs for each archived file, beside the sync, two at a time.',
    example: '/usr/local/bin/index-media',
  },
  HOOK_ITEM_REJECTED: {
    reader: notify.command,
    help: 'Program that runs for each rejected file, in the same way.',
    example: '/usr/local/bin/tell-uploader',
  },
  HOOK_TIMEOUT: {
    fallback: '1m',
    reader: read.duration(upToAnHour),
    help: 'How long a hook may run before it is stopped, which counts as a failure.',
    example: '5m',
  },
} as const satisfies Settings
