import type { Unfinished } from '../db/lookup.ts'
import type { Reconciled } from '../sync/reconcile.ts'
import type { Outcome, ReleaseOutcome } from '../sync/report.ts'
import { things } from '../units.ts'
import type { RunSummary } from './run.ts'

type Say = (count: number) => string

const itemWords: Record<Exclude<Outcome, 'archived'>, Say> = {
  rejected: (n) => `${n} rejected`,
  withdrawn: (n) => `${n} no longer approved`,
  held: (n) => `${n} held for a person`,
  missing: (n) => `${n} missing in the bucket`,
  waiting: (n) => `${n} to be tried again`,
  left: (n) => `${n} given back`,
}

const releaseWords: Record<ReleaseOutcome, Say> = {
  released: (n) => `${things(n, 'source')} deleted`,
  kept: (n) => `${things(n, 'source')} kept for now`,
  source_differs: (n) => `${things(n, 'source')} kept because the bucket holds other bytes now`,
  healed: (n) => `${things(n, 'damaged file')} fetched again`,
  lost: (n) => `${things(n, 'damaged file')} without a source`,
  stale: (n) => `${things(n, 'source')} left to another run`,
}

const recoveryWords: Record<keyof Reconciled, Say> = {
  recorded: (n) => `${things(n, 'finished file')} recorded`,
  restarted: (n) => `${things(n, 'unfinished file')} to be fetched again`,
  withdrawn: (n) => `${things(n, 'item')} no longer approved`,
  reapproved: (n) => `${things(n, 'row')} approved again and archived already`,
  temporariesRemoved: (n) => `${things(n, 'temporary file')} removed`,
  failed: (n) => `${things(n, 'item')} to be tried again`,
}

/** The summary of a run for a person: one line, and one more for each thing to know; what did not happen is not mentioned. */
export function summaryText(summary: RunSummary): string {
  const { items, released, reconciled, stoppedBy, unfinished, releasesPaused } = summary
  const recovered = reconciled === null ? [] : said(reconciled, recoveryWords)
  const parts = [
    `${items.archived} archived (${summary.bytes} bytes)`,
    ...said(items, itemWords),
    ...(released === null ? [] : said(released, releaseWords)),
    ...recovered.map((part) => `recovery: ${part}`),
    `${(summary.durationMs / 1000).toFixed(1)} s`,
  ]
  const lines = [parts.join(', ')]
  if (unfinished !== null) lines.push(...unfinishedText(unfinished))
  if (releasesPaused !== null)
    lines.push(`${pauseText(releasesPaused)}; "strongroom release resume" goes on`)
  if (stoppedBy !== null) lines.push(`stopped early: ${stoppedBy.message}`)
  if (stoppedBy?.hint) lines.push(`  ${stoppedBy.hint}`)
  return lines.join('\n')
}

/** What `reconcile` did, as one line for a person. */
export function recoveryText(reconciled: Reconciled): string {
  return said(reconciled, recoveryWords).join(', ') || 'there was nothing to finish or undo'
}

export function pauseText({ at, reason }: { at: Date; reason: string | null }): string {
  return `releases are paused since ${at.toISOString()}${reason === null ? '' : `: ${reason}`}`
}

function unfinishedText({ leased, later }: Unfinished): string[] {
  const lines: string[] = []
  if (leased.items > 0) {
    const [are, their] = leased.items === 1 ? ['is', 'its'] : ['are', 'their']
    lines.push(
      `${things(leased.items, 'item')} ${are} in another run’s hands, or ${their} lease is not over yet: try again in ${seconds(leased.longestMs)} s`,
    )
  }
  if (later.items > 0)
    lines.push(
      `${things(later.items, 'item')} to be tried again, the first in ${seconds(later.soonestMs)} s`,
    )
  return lines
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

function said<Key extends string>(counts: Record<Key, number>, words: Record<string, Say>) {
  const happened = Object.entries<number>(counts).filter(([, count]) => count > 0)
  return happened.flatMap(([what, count]) => words[what]?.(count) ?? [])
}
