import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { upToAnHour, upToTenYears } from './durations.ts'

export const programSettings = {
  SHUTDOWN_TIMEOUT: {
    fallback: '30s',
    reader: read.duration(upToAnHour),
    help: 'How long work in hand may take to finish after SIGTERM.',
    example: '30s',
  },
  MIGRATE_ON_START: {
    fallback: 'true',
    reader: read.yesNo,
    help: 'Bring the schema strongroom up to date at start; false leaves that to `strongroom migrate`.',
    example: 'false',
  },
  RUNS_KEPT: {
    fallback: '2160h',
    reader: read.duration(upToTenYears),
    help: 'How long "strongroom runs" remembers a run and what became of each of its items, and the console what people did.',
    example: '8760h',
  },
  LOG_LEVEL: {
    fallback: 'info',
    reader: read.oneOf('debug', 'info', 'warn', 'error'),
    help: 'debug, info, warn or error.',
    example: 'debug',
  },
  LOG_FORMAT: {
    fallback: 'json',
    reader: read.oneOf('json', 'text'),
    help: 'json, one object a line, or text for people.',
    example: 'text',
  },
  TZ: {
    fallback: 'UTC',
    reader: read.timeZone,
    help: 'Time zone in which cron expressions are read; archive paths are always in UTC.',
    example: 'Europe/Berlin',
  },
} as const satisfies Settings
