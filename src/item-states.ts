/**
 * The closed list of item states: what each means to a person, what may follow it, and who moves it on.
 * Nothing outside `db/` changes a state, and only along `next`.
 */
interface StateMeaning {
  /** What happened and what comes next, for a person. */
  sentence: string
  next: readonly string[]
  /** An open item is the one its media row is working on; at most one is open per media id. */
  open: boolean
  /** True when a machine still has work to do here. */
  machine: boolean
}

export const ITEM_STATES = {
  claimed: {
    sentence: 'A worker is fetching and checking it.',
    next: ['publishing', 'waiting', 'missing', 'held', 'rejected', 'withdrawn'],
    open: true,
    machine: true,
  },
  publishing: {
    sentence: 'It is proven whole and is being filed in the archive.',
    next: ['archived', 'withdrawing', 'waiting'],
    open: true,
    machine: true,
  },
  waiting: {
    sentence: 'Something failed for now; it is tried again by itself at the time shown.',
    next: ['claimed', 'held', 'withdrawn'],
    open: true,
    machine: true,
  },
  missing: {
    sentence:
      'The bucket has no object under this key. It is asked again from time to time; upload it again or close the row.',
    next: ['claimed', 'withdrawn'],
    open: true,
    machine: false,
  },
  held: {
    sentence:
      'It needs a person: look at the reason, mend it, and approve the row again (a new approval time starts it afresh).',
    next: [],
    open: false,
    machine: false,
  },
  rejected: {
    sentence:
      'It is not valid media. A copy and a report are in ERROR_DIR; the source was not touched. Replace the file and approve again.',
    next: [],
    open: false,
    machine: false,
  },
  withdrawing: {
    sentence: 'The media row changed before it was recorded; the copy is being set aside.',
    next: ['withdrawn'],
    open: true,
    machine: true,
  },
  withdrawn: {
    sentence:
      'The media row was no longer approved when it was to be archived. A copy, if one was made, lies in .strongroom/withdrawn; the source was not touched. Approved again, it is archived afresh.',
    next: [],
    open: false,
    machine: false,
  },
  archived: {
    sentence: 'It is in the archive; the source is deleted when the grace period is over.',
    next: ['releasing', 'lost'],
    open: false,
    machine: true,
  },
  releasing: {
    sentence: 'The archived copy is being read again before the source may go.',
    next: ['released', 'archived', 'source_differs', 'lost'],
    open: false,
    machine: true,
  },
  released: {
    sentence: 'It is in the archive and the source is gone.',
    next: ['moved', 'lost'],
    open: false,
    machine: false,
  },
  moved: {
    sentence:
      'To make room its file was moved to the second bucket, after it was read back there; only its sidecar is in the archive. "strongroom recall" brings it back.',
    next: ['released'],
    open: false,
    machine: false,
  },
  source_differs: {
    sentence:
      'It is archived, but the bucket now holds other bytes under its key. The source is kept; decide which one is right.',
    next: ['lost'],
    open: false,
    machine: false,
  },
  lost: {
    sentence:
      'The archived copy is missing or damaged and the source is gone. Restore the file from a backup; what was in its place lies in .strongroom/quarantine.',
    next: ['archived', 'released', 'kept'],
    open: false,
    machine: false,
  },
  kept: {
    sentence: 'An older service archived it; its source is not released.',
    next: ['lost'],
    open: false,
    machine: false,
  },
} as const satisfies Record<string, StateMeaning>

export type ItemState = keyof typeof ITEM_STATES

/** Every state, in the order of an item's life. */
export const itemStates = Object.keys(ITEM_STATES) as ItemState[]

/** True when `state` belongs to the item its media row is working on. */
export function isOpen(state: ItemState): boolean {
  return ITEM_STATES[state].open
}

/** True when an item may go from one state to the other. */
export function mayFollow(from: ItemState, to: ItemState): boolean {
  return (ITEM_STATES[from].next as readonly string[]).includes(to)
}
