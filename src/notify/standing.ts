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
  /** Where it is several things: a name of each that stays as long as it goes on. One that is new is told of, too. */
  cases?: readonly string[]
}

/** What a part of the service reports of itself, as often as it likes; only a change is told. */
export interface Condition {
  /** `tunnel`, `releases`, `archive` … */
  subject: string
  trouble: Trouble | null
  /** `the tunnel is up again` */
  recovered: string
  /** Only of this node: neither another one nor a later process knows of it. */
  ofNode?: boolean
}

export interface Failing {
  since: Date
  title: string
  /** As those of {@link Trouble}; none where it is one thing. */
  cases: readonly string[]
  /** Only people believe so: it has worked since, and another failure is news. */
  isOver?: boolean
}

export type Change =
  | { kind: 'same' }
  /** Or goes on, with cases that are new. */
  | { kind: 'began'; failing: Failing }
  | { kind: 'ended'; was: Failing }

/** Which subjects fail at present, so that an outage is told when it begins and when it ends, and not in between. */
export interface Standings {
  note(subject: string, failing: Failing | null): Change
  /** As `note`, for what an earlier process has told: it is not told again. */
  recall(subject: string, failing: Failing): void
  /** What fails now, by subject. */
  failing(): ReadonlyMap<string, Failing>
}

export function createStandings(): Standings {
  const known = new Map<string, Failing | null>()
  return {
    note(subject, failing) {
      const was = known.get(subject) ?? null
      if (failing === null) {
        known.set(subject, null)
        return was === null ? { kind: 'same' } : { kind: 'ended', was }
      }
      const isNew = was === null || was.isOver === true
      // What goes on began when it was first seen.
      const now = isNew ? failing : { ...was, cases: failing.cases }
      known.set(subject, now)
      const isNews = isNew || now.cases.some((one) => !was.cases.includes(one))
      return isNews ? { kind: 'began', failing: now } : { kind: 'same' }
    },
    recall(subject, failing) {
      if (!known.has(subject)) known.set(subject, failing)
    },
    failing: () =>
      new Map(
        [...known].flatMap(([subject, f]) =>
          f === null || f.isOver === true ? [] : [[subject, f]],
        ),
      ),
  }
}
