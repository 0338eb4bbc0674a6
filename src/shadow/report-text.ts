import type { Comparison, Skip } from './compare.ts'
import { kindTitles } from './evidence.ts'
import type { Report } from './report.ts'

export const skipTexts: Readonly<Record<Skip, string>> = {
  waiting: 'not come to yet by the other service',
  missing: 'without an object in the bucket',
  changed: 'changed by somebody meanwhile',
  unread: 'not read by Strongroom yet',
}

/** The one line that it all comes down to. */
export function verdictLine({ compared, differ, generals, safe }: Report): string {
  const things = generals.length === 1 ? '1 thing differs' : `${generals.length} things differ`
  const general = generals.length === 0 ? '' : `, ${things} in all of them`
  return `${compared} compared, ${differ} differ${general}: ${safe ? '' : 'not '}safe to cut over`
}

/** For a terminal: what differs, what could not be compared, and the verdict as the last line. */
export function reportText(report: Report): string {
  const lines = [`compared since ${report.since.toISOString()}`]
  for (const { kind, count, text, hint } of report.generals)
    lines.push(`${kindTitles[kind]} (all ${count}): ${text}`, `  ${hint}`)
  for (const one of report.comparisons)
    for (const { kind, text } of one.differences)
      lines.push(`${kindTitles[kind]}: ${subjectOf(one)}: ${text}`)
  lines.push(...skippedTexts(report), ...report.notes, verdictLine(report))
  return lines.map(oneLine).join('\n')
}

export function skippedTexts({ skipped }: Report): string[] {
  return (Object.entries(skipped) as [Skip, number][])
    .filter(([, count]) => count > 0)
    .map(([skip, count]) => `${count} not compared: ${skipTexts[skip]}`)
}

export function subjectOf({ mediaId, name }: Comparison): string {
  return mediaId === null ? name : `media ${mediaId} (${name})`
}

/** Names come from outside: none may move the cursor or begin a line. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, ' ')
}

/** For machines: a line for each medium that was compared or left out, the sum as the last one. */
export function* reportLines(report: Report): Generator<string> {
  for (const { mediaId, name, would, did, basis, skipped, differences } of report.comparisons)
    yield JSON.stringify({
      media_id: mediaId,
      name,
      would: sideOf(would),
      did: sideOf(did),
      basis,
      skipped,
      differences,
    })
  const { since, at, compared, differ, byOldFile, skipped, generals, accepted, safe, notes } =
    report
  yield JSON.stringify({
    since: since.toISOString(),
    at: at.toISOString(),
    compared,
    differ,
    by_old_file: byOldFile,
    skipped,
    general: generals,
    accepted,
    safe,
    notes,
    verdict: verdictLine(report),
  })
}

function sideOf({ verdict, path, sizeBytes, sha256 }: Comparison['would']) {
  return { verdict, path, bytes: sizeBytes, sha256 }
}
