import type { Database } from '../db/connect.ts'
import { AppError } from '../errors.ts'
import { clockText } from '../units.ts'

/** Another machine's clock against ours. */
export interface Clock {
  of: 'database' | 'bucket'
  /** How far it is ahead of ours; negative when it is behind. */
  aheadMs: number
}

/** Beyond this, links open files noticeably longer or shorter than they were minted for. */
const TOKENS_MS = 60_000
/** Beyond this, S3 takes a signed request for a replay. */
const SIGNATURES_MS = 15 * 60_000
const REQUEST_MS = 10_000

/** @throws what the database throws */
export async function databaseClock(database: Database): Promise<Clock> {
  return compare('database', async () => {
    const [row] = await database.run(
      (sql) => sql<{ ms: number }[]>`
        select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
    )
    return row?.ms ?? Number.NaN
  })
}

/**
 * Any answer has a Date, a refusal too: what is asked needs no signature, which a wrong clock would spoil.
 *
 * @returns null when nothing answers; the bucket's own check says why
 */
export async function bucketClock(endpoint: string): Promise<Clock | null> {
  try {
    return await compare('bucket', async () => {
      const signal = AbortSignal.timeout(REQUEST_MS)
      const answer = await fetch(endpoint, { method: 'HEAD', redirect: 'manual', signal })
      // It has whole seconds, cut off.
      return Date.parse(answer.headers.get('date') ?? '') + 500
    })
  } catch {
    return null
  }
}

async function compare(of: Clock['of'], read: () => Promise<number>): Promise<Clock> {
  const asked = Date.now()
  const theirs = await read()
  return { of, aheadMs: theirs - (asked + Date.now()) / 2 }
}

/** Says whose clock is off: two that agree outvote the third. Pure. @returns null when none is */
export function judgeClocks(clocks: readonly Clock[]): AppError | null {
  const seen = clocks.filter(({ aheadMs }) => Number.isFinite(aheadMs))
  const off = seen.filter(({ aheadMs }) => Math.abs(aheadMs) > TOKENS_MS)
  const [first, second] = off
  if (first === undefined) return null
  const outvoted = off.length === 1 && seen.length > 1
  const alike = second === undefined || Math.abs(first.aheadMs - second.aheadMs) <= TOKENS_MS
  if (outvoted) {
    const says = difference(first.aheadMs)
    return clockOff(`the ${first.of}’s clock is ${says} this machine’s`, first.aheadMs)
  }
  const others = alike ? off.map(({ of }) => `the ${of}’s`).join(' and ') : `the ${first.of}’s`
  return clockOff(`this machine’s clock is ${difference(-first.aheadMs)} ${others}`, first.aheadMs)
}

function difference(aheadMs: number): string {
  const long = clockText(Math.abs(aheadMs) / 1000)
  return `${long} ${aheadMs > 0 ? 'ahead of' : 'behind'}`
}

function clockOff(sentence: string, byMs: number): AppError {
  const refused = Math.abs(byMs) > SIGNATURES_MS
  const harm = refused
    ? 'beyond 15 minutes the bucket refuses every request'
    : 'beyond a minute links open files for longer or shorter than they say'
  return new AppError('CLOCK_OFF', `${sentence} (minutes:seconds); ${harm}`)
}
