import type { SecondConfig } from '../config/second.ts'
import type { Config } from '../config.ts'
import { inspectBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { oldestWaiting } from '../db/gauges.ts'
import { canReadItems } from '../db/plan.ts'
import { isAppError } from '../errors.ts'
import { type BucketRules, type Expiry, readBucketRules } from '../storage/s3-rules.ts'
import type { Report } from './doctor-report.ts'

const DAY_S = 86_400
/** An outage of the syncer may last a weekend; a rule that is quicker is worth a word. */
const SHORT_DAYS = 14

/** What the bucket does by itself: rules that delete what is not archived yet, and those that keep what is to go. */
export async function checkBucketRules(
  config: Config,
  database: Database | null,
  report: Pick<Report, 'ok' | 'advise' | 'fail'>,
): Promise<void> {
  if (config.bucket === null) return
  const rules = await readBucketRules(config.bucket)
  const waitsFor = async (keyPrefix: string) =>
    database === null ? null : ageOfBacklog(config, database, keyPrefix)
  await judgeLifecycle(rules, waitsFor, report)
  judgeLock(rules, config.releaseGraceMs, report)
  judgeVersioning(rules, report)
}

/** What the second bucket deletes by itself: there lie the only copies of what was moved, for good. */
export async function checkSecondRules(
  second: SecondConfig,
  { ok, advise, fail }: Tell,
): Promise<void> {
  const { lifecycle } = await readBucketRules(second)
  if ('untold' in lifecycle) {
    const why = whyUntold(lifecycle.untold)
    return advise(`the second bucket does not tell its lifecycle rules: ${why}`, [
      'look at them where the bucket is managed: none may delete what is moved there',
    ])
  }
  const deadly = lifecycle.told.expiries.filter(
    ({ prefix }) => prefix.startsWith(second.prefix) || second.prefix.startsWith(prefix),
  )
  if (deadly.length === 0) return ok('no lifecycle rule deletes what is moved to the second bucket')
  for (const rule of deadly)
    fail(`in the second bucket, where the only copies lie, ${describe(rule)}`, {
      remedy: ['disable that rule: what is moved there stays for good'],
      exit: 78,
      next: `disable lifecycle rule "${rule.id}" of the second bucket`,
    })
}

/** @returns days; null when nothing waits, or nobody can tell */
async function ageOfBacklog(
  config: Config,
  database: Database,
  keyPrefix: string,
): Promise<number | null> {
  try {
    const backend = await inspectBackend(database, config.backend)
    // Before the first sync everything waits.
    const ours = await canReadItems(database)
    const oldest = await oldestWaiting(database, backend, { keyPrefix, ours })
    return oldest === null ? null : oldest.ageSeconds / DAY_S
  } catch (error) {
    // What is wrong with tables and rights is told by their own checks.
    if (isAppError(error)) return null
    throw error
  }
}

type Tell = Pick<Report, 'ok' | 'advise' | 'fail'>

/** @param waitsFor how many days ago the oldest row was approved whose key begins so and that is not archived */
export async function judgeLifecycle(
  { lifecycle }: Pick<BucketRules, 'lifecycle'>,
  waitsFor: (keyPrefix: string) => Promise<number | null>,
  { ok, advise, fail }: Tell,
): Promise<void> {
  if ('untold' in lifecycle)
    return advise(`the bucket does not tell its lifecycle rules: ${whyUntold(lifecycle.untold)}`, [
      'look at them where the bucket is managed: none may delete objects before they are archived',
    ])
  if (lifecycle.told.expiries.length === 0) return ok('no lifecycle rule deletes objects')
  for (const rule of lifecycle.told.expiries) {
    const age = await waitsFor(rule.prefix)
    const what = describe(rule)
    if (age !== null && isOver(rule, age))
      fail(`${what}; the oldest that is not archived was approved ${days(age)} ago`, {
        remedy: ['disable that rule, or give it more days, before it deletes what is not archived'],
        exit: 78,
        next: `disable lifecycle rule "${rule.id}" of the bucket until the backlog is archived`,
      })
    else if ('date' in rule.after || rule.after.days < SHORT_DAYS)
      advise(`${what}; what is not archived by then is lost`, [
        `give it more days: ${SHORT_DAYS} outlast an outage that nobody notices at once`,
      ])
    else ok(what)
  }
}

/** Objects are at least as old as their approval. */
function isOver({ after }: Expiry, ageDays: number): boolean {
  return 'days' in after ? after.days <= ageDays : after.date.getTime() <= Date.now()
}

function describe({ id, prefix, after, conditional }: Expiry): string {
  const which = `${conditional ? 'some ' : ''}objects${prefix === '' ? '' : ` under "${prefix}"`}`
  const when =
    'days' in after ? `after ${days(after.days)}` : `on ${after.date.toISOString().slice(0, 10)}`
  return `lifecycle rule "${id}" deletes ${which} ${when}`
}

export function judgeLock(
  { lock }: Pick<BucketRules, 'lock'>,
  releaseGraceMs: number,
  { ok, advise }: Tell,
): void {
  // R2 has lock rules that this question does not tell of, and most stores have none.
  if ('untold' in lock || lock.told === null) return
  const { days: lockedDays } = lock.told
  if (lockedDays * DAY_S * 1_000 <= releaseGraceMs)
    ok(`objects are locked for ${days(lockedDays)}, and released later than that`)
  else
    advise(`objects are locked for ${days(lockedDays)}, longer than RELEASE_GRACE`, [
      `sources stay until then and are asked for again and again; RELEASE_GRACE=${lockedDays * 24}h saves that`,
    ])
}

export function judgeVersioning(
  { versioning, lifecycle }: Pick<BucketRules, 'versioning' | 'lifecycle'>,
  { advise }: Tell,
): void {
  if ('untold' in versioning || !versioning.told) return
  if ('told' in lifecycle && lifecycle.told.removesOldVersions) return
  advise('the bucket keeps old versions: a deleted source is only hidden, and frees no space', [
    'add a lifecycle rule that removes noncurrent versions after some days',
  ])
}

function whyUntold(why: 'denied' | 'unknown'): string {
  return why === 'denied'
    ? 'the access key may not read them'
    : 'this store does not know the question'
}

function days(count: number): string {
  const shown = count < 10 ? count.toFixed(1).replace('.0', '') : String(Math.floor(count))
  return shown === '1' ? '1 day' : `${shown} days`
}
