import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { tenYears, upToAnHourOrNone, upToTenYears } from './durations.ts'

export const syncSettings = {
  MODE: {
    fallback: 'live',
    reader: read.oneOf('live', 'dry-run', 'shadow'),
    help: 'live; dry-run: says what it would do and writes nothing anywhere; shadow: beside another service, does everything up to the archive in SHADOW_DIR, for "strongroom shadow report" (docs/cut-over.md). In both, commands that write are refused.',
    example: 'dry-run',
  },
  SYNC_INTERVAL: {
    fallback: '30m',
    reader: read.schedule,
    help: 'How often approved rows are looked for: a duration (1h30m, 90s), plain seconds (1800), or a cron expression of 5 or 6 fields read in TZ.',
    example: '30m',
  },
  SYNC_JITTER: {
    fallback: '0',
    reader: read.duration(upToAnHourOrNone),
    help: 'Each scheduled sync begins up to so much later, at random, so that many nodes do not all come at once.',
    example: '30s',
  },
  SYNC_MISSED: {
    fallback: 'run',
    reader: read.oneOf('run', 'skip'),
    help: 'What becomes of scheduled syncs whose time came while one was under way, or before the program was started: run makes up for them by one at once, skip waits for the next.',
    example: 'skip',
  },
  SYNC_OVERLAP: {
    fallback: 'share',
    reader: read.oneOf('share', 'skip'),
    help: 'What a sync does while another node syncs: share the work, or skip (then "strongroom runs" says so).',
    example: 'skip',
  },
  SYNC_TIMEOUT: {
    reader: read.duration(upToTenYears),
    help: 'A sync that takes longer claims no more, finishes what it has in hand within SHUTDOWN_TIMEOUT, and counts as failed; not set means any time.',
    example: '6h',
  },
  BATCH_SIZE: {
    fallback: '32',
    reader: read.wholeNumber(1, 1000),
    help: 'Rows claimed at a time, 1 to 1000.',
    example: '32',
  },
  SYNC_CONCURRENCY: {
    fallback: '96',
    reader: read.wholeNumber(1, 128),
    help: 'Files worked on at once, 1 to 128; of those of 256 KiB and more never more than 48 are transferred at a time, of those of 1 MiB and more sixteen, of those of 8 MiB and more four. Fewer ask less of a bucket that throttles; small files take longer then, above all from far away.',
    example: '16',
  },
  CHANGED_AFTER_APPROVAL: {
    fallback: 'hold',
    reader: read.oneOf('hold', 'accept'),
    help: 'What to do with an object that is newer than its approval: hold it for a person, or accept (for backends that approve before the upload ends).',
    example: 'hold',
  },
  SIZE_MISMATCH: {
    fallback: 'warn',
    reader: read.oneOf('warn', 'reject'),
    help: 'What to do when the row and the object disagree about the size: warn or reject.',
    example: 'warn',
  },
  RELEASE_GRACE: {
    fallback: '24h',
    reader: read.duration(tenYears),
    help: 'How long a source is kept after its copy was archived. 0 deletes it at once; a copy below 64 MiB, or any with DIRECT_IO=false, is then read back from memory, which proves little about the disk.',
    example: '72h',
  },
  RELEASE_DAILY_MAX: {
    reader: read.wholeNumber(0, 999_999_999),
    help: 'How many sources may be released in any 24 hours, by all nodes together (set the same on each); 0 releases nothing, not set means any number.',
    example: '500',
  },
  SCRUB_PERIOD: {
    fallback: '720h',
    reader: read.duration(tenYears),
    help: 'In what time "start" reads the whole archive again, to notice what rots and heal it from the bucket while the source lives. 0 turns it off.',
    example: '2160h',
  },
  SCRUB_RATE: {
    fallback: '20',
    reader: read.wholeNumber(1, 100_000),
    help: 'How many megabytes a second it reads at most; 20 are 1.7 TB a day.',
    example: '50',
  },
  FFPROBE_PATH: {
    fallback: 'ffprobe',
    reader: read.program,
    help: 'The ffprobe that checks media.',
    example: '/usr/bin/ffprobe',
  },
  FFPROBE_SMALL_PATH: {
    reader: read.program,
    help: 'A small ffprobe that is asked first because it starts in a tenth of the time: "make ffprobe" builds one that knows the accepted formats only (the image has it). The one of FFPROBE_PATH is asked where it gives no answer.',
    example: '/usr/local/lib/strongroom/ffprobe',
  },
} as const satisfies Settings
