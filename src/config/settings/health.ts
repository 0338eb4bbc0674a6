import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { upToTenYears } from './durations.ts'

export const healthSettings = {
  STALE_AFTER: {
    reader: read.duration(upToTenYears),
    help: 'Without a sync that came to its end for so long, and none under way of which anything came for that long and a day, /health/deep fails. Not set means two intervals of SYNC_INTERVAL, of a cron text two of its longest pauses, and an hour.',
    example: '6h',
  },
} as const satisfies Settings
