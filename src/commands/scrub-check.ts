import type { Config } from '../config.ts'
import { archivedTotal } from '../db/archived.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { isAppError } from '../errors.ts'
import { neededRate, planScrub, slowScrubText } from '../sync/scrub-plan.ts'
import type { Report } from './doctor-report.ts'

/** Whether the archive can be read again in time, and whether what rots in it is healed. */
export async function checkScrub(
  { scrub }: Pick<Config, 'scrub'>,
  database: Database,
  report: Pick<Report, 'ok' | 'advise'>,
): Promise<void> {
  const paused = (await openArchives(database).find())?.healPaused ?? null
  if (paused !== null)
    report.advise(`healing has stopped since ${paused.at.toISOString()}: ${paused.reason}`, [
      'look at the archive disk and its mounts, then run "strongroom verify --repair --confirm"',
    ])
  const { periodMs } = scrub
  if (periodMs === 0) return
  const total = await archivedTotal(database, null).catch((error: unknown) => {
    // A table that takes too long to count is no fault.
    if (isAppError(error, 'DB_UNAVAILABLE')) return null
    throw error
  })
  if (total === null) return
  const plan = planScrub({ ...scrub, bytes: total.bytes })
  if (!plan.keepsPeriod)
    report.advise(slowScrubText(plan, periodMs), [
      `set SCRUB_RATE to ${neededRate(total.bytes, periodMs)} or SCRUB_PERIOD to more`,
    ])
}
