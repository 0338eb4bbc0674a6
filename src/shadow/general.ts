import type { Comparison } from './compare.ts'
import type { DifferenceKind } from './evidence.ts'
import { type ChosenPath, inferLayout } from './layout.ts'

/** One difference that all media have, said once: a setting, or a habit of the other service. */
export interface General {
  kind: DifferenceKind
  /** How many media have it. */
  count: number
  text: string
  hint: string
}

/** Fewer may have it by chance. */
const LEAST = 3

const habits: readonly Omit<General, 'count'>[] = [
  {
    kind: 'audit-missing',
    text: 'no audit row has the action that Strongroom would write',
    hint: 'set ACTION_ARCHIVED to the word that the other service writes, or AUDIT_TABLE to where it writes',
  },
  {
    kind: 'audit-doubled',
    text: 'the other service writes more than one audit row for each file',
    hint: 'Strongroom writes one; if that is meant, say --accept audit-doubled',
  },
  {
    kind: 'source-kept',
    text: 'the other service deletes no sources',
    hint: 'Strongroom deletes them after RELEASE_GRACE; RELEASE_DAILY_MAX=0 keeps all of them',
  },
  {
    kind: 'row-fact',
    text: 'the other service leaves facts of the row out, or writes other ones',
    hint: 'if a column means something else there, name another one with MEDIA_COLUMN_…; else say --accept row-fact',
  },
  {
    kind: 'sidecar',
    text: 'the sidecars of the other service say something else in all places',
    hint: 'Strongroom writes sidecars of its own; if theirs mean something else, say --accept sidecar',
  },
]

/** Takes out of the media what all of them have in common. */
export function foldGeneral(all: readonly Comparison[]): {
  comparisons: Comparison[]
  generals: General[]
} {
  const generals: General[] = []
  let comparisons = [...all]
  const layout = foldLayout(comparisons)
  if (layout !== null) {
    generals.push(layout.general)
    comparisons = without(comparisons, 'path', layout.folded)
  }
  for (const { kind, ...words } of habits) {
    const filed = comparisons.filter(isFiled)
    const having = filed.filter((one) => has(one, kind))
    if (having.length < LEAST || having.length < filed.length) continue
    generals.push({ kind, count: having.length, ...words })
    comparisons = without(comparisons, kind, new Set(having))
  }
  return { comparisons, generals }
}

function isFiled({ skipped, mediaId, did }: Comparison): boolean {
  return skipped === null && mediaId !== null && did.verdict === 'archived'
}

function has({ differences }: Comparison, kind: DifferenceKind): boolean {
  return differences.some((one) => one.kind === kind)
}

function without(
  comparisons: readonly Comparison[],
  kind: DifferenceKind,
  folded: ReadonlySet<Comparison>,
): Comparison[] {
  return comparisons.map((one) => {
    if (!folded.has(one)) return one
    return { ...one, differences: one.differences.filter((other) => other.kind !== kind) }
  })
}

/** Another layout shows in at least half of the paths; those that follow neither stay differences of their own. */
function foldLayout(
  comparisons: readonly Comparison[],
): { general: General; folded: ReadonlySet<Comparison> } | null {
  const placed = comparisons.filter(({ would, did }) => would.path !== null && did.path !== null)
  const others = comparisons.filter((one) => has(one, 'path'))
  if (others.length < LEAST || others.length * 2 < placed.length) return null
  const chosen = new Map<ChosenPath, Comparison>()
  for (const one of others) {
    const { media, did } = one
    if (media !== null && did.path !== null)
      chosen.set({ path: did.path, media, sha256: one.would.sha256 ?? did.sha256 ?? '' }, one)
  }
  const found = inferLayout([...chosen.keys()])
  if (found !== null && found.gives.size * 2 >= placed.length) {
    const folded = new Set([...found.gives].flatMap((path) => chosen.get(path) ?? []))
    return { folded, general: layoutGeneral(folded.size, found.layout) }
  }
  if (others.length < placed.length) return null
  return { folded: new Set(others), general: layoutGeneral(others.length, null) }
}

function layoutGeneral(count: number, layout: string | null): General {
  const text = 'the other service files by another layout'
  const meant = 'if the change is meant, say --accept path (old files stay where they are)'
  const hint =
    layout === null
      ? `no ARCHIVE_LAYOUT gives its paths; ${meant}`
      : `ARCHIVE_LAYOUT='${layout}' gives its paths; ${meant}`
  return { kind: 'path', count, text, hint }
}
