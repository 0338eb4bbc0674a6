/** What is wrong with a part of the service, in words for a person. */
export interface Trouble {
  /** `the tunnel is down` */
  title: string
  /** What is known of it. */
  detail: string
  /** What to do next, a clause. */
  next: string
  /** Since when, where that is known. */
  since?: Date
}

/** What a part of the service reports of itself, as often as it likes; only a change is told. */
export interface Condition {
  /** `tunnel`, `releases`, `archive` … */
  subject: string
  trouble: Trouble | null
  /** `the tunnel is up again` */
  recovered: string
}

export interface Failing {
  since: Date
  title: string
}

export type Change =
  | { kind: 'same' }
  | { kind: 'began'; failing: Failing }
  | { kind: 'ended'; was: Failing }

/** Which subjects fail at present, so that an outage is told when it begins and when it ends, and not in between. */
export interface Standings {
  note(subject: string, failing: Failing | null): Change
  /** As `note`, for what an earlier process has told: nothing is told again. */
  recall(subject: string, failing: Failing | null): void
  /** What fails now, by subject. */
  failing(): ReadonlyMap<string, Failing>
}

export function createStandings(): Standings {
  const known = new Map<string, Failing | null>()
  return {
    note(subject, failing) {
      const was = known.get(subject) ?? null
      // What goes on began when it was first seen.
      known.set(subject, failing === null ? null : (was ?? failing))
      if (failing !== null && was === null) return { kind: 'began', failing }
      if (failing === null && was !== null) return { kind: 'ended', was }
      return { kind: 'same' }
    },
    recall(subject, failing) {
      if (!known.has(subject)) known.set(subject, failing)
    },
    failing: () =>
      new Map([...known].flatMap(([subject, f]) => (f === null ? [] : [[subject, f]]))),
  }
}
