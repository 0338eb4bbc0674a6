import type { Config } from '../config.ts'
import {
  archivedFile,
  archivedTotal,
  damagedLately,
  isReadingWanted,
  noteVerified,
  takeForScrub,
} from '../db/archived.ts'
import { toAppError } from '../errors.ts'
import { openLeased, type Program, type SyncService } from '../open.ts'
import type { HealFoundParts } from '../sync/heal-found.ts'
import type { LastingScrubParts } from '../sync/scrub.ts'
import { planScrub, slowScrubText } from '../sync/scrub-plan.ts'
import { createPace } from '../sync/verify.ts'
import { secondSourceOf } from './second.ts'

const SCRUB_BATCH = 20

/** What puts right damaged files of the archive; `fsck` and `verify` and the scrub do so in the same way. */
export function openHealing(
  service: SyncService,
  config: Config,
  program: Program,
): HealFoundParts {
  const on = { ...service, archiveId: service.volume.id }
  return {
    ...service,
    ...openLeased(config, program, on),
    second: secondSourceOf(service),
    damagedLately: () => damagedLately(service.database),
  }
}

/** What reads the archive of a live sync again in the background, and heals it. */
export function openScrub(
  service: SyncService,
  config: Config,
  run: { program: Program; signal: AbortSignal; isBusy: () => boolean },
): LastingScrubParts {
  const { database, disk, volume } = service
  const { program, signal, isBusy } = run
  const dueAfterMs = createDueTime(service, config)
  return {
    ...openHealing(service, config, program),
    disk,
    volume,
    next: async () => takeForScrub(database, { limit: SCRUB_BATCH, periodMs: await dueAfterMs() }),
    again: (item) => archivedFile(database, item),
    note: (file, damage) => noteVerified(database, file, damage),
    wanted: () => isReadingWanted(database),
    now: () => performance.now(),
    pace: createPace(config.scrub.bytesPerSecond, signal, isBusy),
  }
}

const DAY_MS = 24 * 3_600_000

/** When files are due to be read again; looked at anew each day, because the archive grows. */
function createDueTime(
  { database, log }: Pick<SyncService, 'database' | 'log'>,
  { scrub }: Config,
): () => Promise<number> {
  let plannedAt = Number.NEGATIVE_INFINITY
  let dueAfterMs = scrub.periodMs
  return async () => {
    if (performance.now() - plannedAt < DAY_MS) return dueAfterMs
    plannedAt = performance.now()
    const total = await archivedTotal(database, null).catch((error: unknown) => {
      // A table that takes too long to count is scrubbed all the same, if perhaps late.
      log.debug({ error: toAppError(error) }, 'the archive could not be summed up')
      return null
    })
    if (total === null) return dueAfterMs
    const plan = planScrub({ ...scrub, bytes: total.bytes })
    if (!plan.keepsPeriod) log.warn({}, slowScrubText(plan, scrub.periodMs))
    dueAfterMs = plan.dueAfterMs
    return dueAfterMs
  }
}
