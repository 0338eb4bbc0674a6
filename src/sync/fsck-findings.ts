/** What `fsck` can find; the recovery table of docs/safety.md, seen from outside. */
interface Meaning {
  /**
   * `broken`: the archive is not what the database says. `undone`: a machine has something to finish. `note`: nothing has
   * to be done.
   */
  weight: 'broken' | 'undone' | 'note'
  /** For the summary, after a count. */
  says: string
  /** What to do about it. */
  next: string
}

const restore =
  '"strongroom fsck --repair" fetches again what the bucket still has; restore the others from a backup, then run "strongroom verify"'

export const FINDINGS = {
  missing: { weight: 'broken', says: 'missing', next: restore },
  damaged: { weight: 'broken', says: 'of another size', next: restore },
  unreadable: { weight: 'broken', says: 'unreadable', next: 'look at the disk (dmesg, smartctl)' },
  sidecar: {
    weight: 'broken',
    says: 'without a good sidecar',
    next: '"strongroom fsck --repair" reads the files and writes their sidecars anew',
  },
  moved: {
    weight: 'broken',
    says: 'moved by hand',
    next: '"strongroom fsck --relocate" brings them back: every link goes by the path that the sidecar names',
  },
  both: {
    weight: 'undone',
    says: 'in the second bucket, and here, too',
    next: '"strongroom clean" removes what a move left behind; "strongroom recall" makes the others count again',
  },
  sick: {
    weight: 'undone',
    says: 'latched disk failure',
    next: 'check the disk, then run "strongroom accept-volume"',
  },
  unfinished: {
    weight: 'undone',
    says: 'left by a worker that died',
    next: 'the next sync finishes or undoes them; so does "strongroom reconcile" at once',
  },
  temporary: {
    weight: 'undone',
    says: 'left-over temporary',
    next: 'the next sync removes those of items; "strongroom fsck --repair" removes all',
  },
  reapproved: {
    weight: 'undone',
    says: 'approved again and archived already',
    next: 'the next sync sets these rows back to archived; so does "strongroom reconcile" at once',
  },
  unlisted: {
    weight: 'undone',
    says: 'archived by Strongroom, but unknown to the database',
    next: 'the database is older than the archive, or was lost: restore it, then run "strongroom fsck --from-sidecars"',
  },
  closed: {
    weight: 'undone',
    says: 'that could not be looked at',
    next: 'let the user that runs Strongroom read them (chown, chmod), and rename what has a name that is no UTF-8: whatever is missing may lie there',
  },
  foreign: {
    weight: 'note',
    says: 'foreign',
    next: '"strongroom adopt" makes links to them possible; they are never moved or deleted',
  },
  orphan: {
    weight: 'note',
    says: 'sidecar without a file',
    next: 'with a second bucket look there first: they may be all that is left here of files that were moved; otherwise harmless, and may be deleted',
  },
  aside: {
    weight: 'note',
    says: 'set aside in .strongroom',
    next: 'look at them, and delete those that nobody needs',
  },
} as const satisfies Record<string, Meaning>

export type FindingKind = keyof typeof FINDINGS

export const findingKinds = Object.keys(FINDINGS) as FindingKind[]

export interface Finding {
  kind: FindingKind
  /** Relative to ARCHIVE_DIR; absolute when it lies elsewhere; null when it is no file. */
  path: string | null
  /** Null where no item is concerned. */
  item: number | null
  mediaId: number | null
  reason: string
}
