import type { PlanEntry } from '../sync/plan.ts'
import { visible } from '../visible.ts'

type Would = PlanEntry['would']

const actions: Record<Would, string> = {
  archive: 'would be archived',
  hold: 'would be held for a person',
  'report-missing': 'would count as missing',
  'retry-later': 'would be tried again later',
  leave: 'would be left as it is',
}

const totals: Record<Would, string> = {
  archive: 'to archive',
  hold: 'to hold for a person',
  'report-missing': 'missing in the bucket',
  'retry-later': 'to be tried again later',
  leave: 'to leave as they are',
}

/** One row of a dry run, as a line for a person. */
export function planText({ media, would, archivePath, sizeBytes, reason }: PlanEntry): string {
  const place = archivePath === null ? '' : ` as ${archivePath} (${sizeBytes} bytes)`
  const because = reason === null ? '' : `: ${reason}`
  return visible(`media ${media.mediaId}: ${actions[would]}${place}${because}`)
}

export function planSummaryText(tally: Partial<Record<Would, number>>): string {
  const counts = Object.entries(totals).flatMap(([would, words]) => {
    const count = tally[would as Would] ?? 0
    return count > 0 ? `${count} ${words}` : []
  })
  return `dry run: ${counts.join(', ') || 'nothing is approved'}; nothing was written`
}
