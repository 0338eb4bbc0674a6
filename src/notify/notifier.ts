import type { NotifyOn } from '../config/notify.ts'
import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Run } from '../runs.ts'
import type { Channels } from './channels.ts'
import { createLane, type LaneParts } from './lane.ts'
import { clip, type Message, printable } from './message.ts'
import { createPinger, isFailed, type Ping } from './pings.ts'
import { type Condition, createStandings, type Failing, type Standings } from './standing.ts'
import {
  attentionOfRun,
  digestOf,
  endOfRun,
  failureOf,
  failureOfRun,
  forAPerson,
  MOST_REASONS,
  recoveryOf,
  recoveryOfRun,
  type Sender,
} from './texts.ts'

/** Tells people, and services that wait for signs of life. Nothing here throws, and nobody waits for it but `close`. */
export interface Notifier {
  started(run: Run): void
  ended(run: Run): void
  /** An item of the sync in hand ended so. */
  itemSettled(report: SettledItem): void
  /** A part of the service is well, or is not; told when that changes. */
  tell(condition: Condition): void
  /** Sends the digest of what happened since then. */
  digest(since: Date): void
  close(signal: AbortSignal): Promise<void>
}

/** As much of an item's report as messages repeat. */
export interface SettledItem {
  item: { media: { mediaId: number } }
  outcome: string
  reason: string | null
}

export interface NotifierParts extends Omit<LaneParts<never>, 'channel' | 'room'> {
  on: readonly NotifyOn[]
  channels: Channels
  sender: Sender
  log: Log
  /** What the run history knows; null without a database. */
  history: RunHistory | null
}

export interface RunHistory {
  /** The last run of each job that has ended. */
  lastEnded(): Promise<readonly Run[]>
  /** Every run that ended at or after this moment. */
  endedSince(since: Date): Promise<readonly Run[]>
}

const MESSAGES_WAITING = 50
/** A later sign of life says all that an earlier one would. */
const PINGS_WAITING = 2
const REASON_LENGTH = 300

export function createNotifier(parts: NotifierParts): Notifier {
  const messages = parts.channels.messages.map((channel) =>
    createLane<Message>({ ...parts, channel, room: MESSAGES_WAITING }),
  )
  const pings = parts.channels.pings.map((channel) =>
    createLane<Ping>({ ...parts, channel, room: PINGS_WAITING }),
  )
  const pinger = createPinger()
  let firstOfOurs = Number.POSITIVE_INFINITY
  const recall = createRecall(parts, ({ id }) => id !== null && id >= firstOfOurs)
  // Of the sync in hand: no other job settles items, and a scrub may begin and end beside it.
  let reasons: string[] = []

  const ping = (sign: Ping | null) => {
    if (sign !== null) for (const lane of pings) lane.put(sign)
  }
  const inOrder = createOrder(parts.log)
  const say = (message: Message | null) => {
    if (message !== null) for (const lane of messages) lane.put(message)
  }
  return {
    started(run) {
      if (run.job === 'sync') reasons = []
      firstOfOurs = Math.min(firstOfOurs, run.id ?? firstOfOurs)
      ping(pinger.started(run))
    },
    itemSettled({ item, outcome, reason }) {
      if (reasons.length >= MOST_REASONS || (outcome !== 'rejected' && outcome !== 'held')) return
      reasons.push(
        clip(printable(`media ${item.media.mediaId} ${outcome}: ${reason}`), REASON_LENGTH),
      )
    },
    ended(run) {
      ping(pinger.ended(run))
      if (messages.length === 0) return
      const said = run.job === 'sync' ? reasons : []
      inOrder(async () => say(messageOfRun(parts, { run, reasons: said, ...(await recall()) })))
    },
    tell(condition) {
      if (messages.length === 0) return
      inOrder(async () => say(messageOf(parts, { condition, ...(await recall()) })))
    },
    digest(since) {
      if (messages.length === 0) return
      inOrder(async () => {
        const { standings } = await recall()
        const runs = (await parts.history?.endedSince(since)) ?? []
        say(digestOf(parts.sender, { since, runs, failing: standings.failing() }))
      })
    },
    async close(signal) {
      await inOrder(async () => {})
      await Promise.all([...messages, ...pings].map((lane) => lane.close(signal)))
    },
  }
}

/** What happens one after the other, however long each takes; a failure of one is logged. */
function createOrder(log: Log): (work: () => Promise<void>) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return (work) => {
    last = last.then(work).catch((thrown: unknown) => {
      log.warn({ error: toAppError(thrown) }, 'a message could not be made')
    })
    return last
  }
}

interface Memory {
  standings: Standings
  /** What began before that moment was told by an earlier process. */
  toldUntil: Date | null
}

/**
 * What an earlier process left failing, from the run history. It is asked before the first run of this process can end, and
 * once more when there is something to tell; without an answer nothing is known.
 */
function createRecall(
  { history, log }: NotifierParts,
  isOurs: (run: Run) => boolean,
): () => Promise<Memory> {
  const memory: Memory = { standings: createStandings(), toldUntil: null }
  const ask = async (): Promise<boolean> => {
    try {
      for (const run of (await history?.lastEnded()) ?? []) {
        if (run.mode === 'dry-run' || run.endedAt === null || isOurs(run)) continue
        // Whoever finds a run that was cut off tells of it: perhaps this very process, a moment ago.
        if (run.error?.code === 'RUN_INTERRUPTED') continue
        memory.standings.recall(run.job, isFailed(run) ? failingRun(run) : null)
        if (memory.toldUntil === null || run.endedAt > memory.toldUntil)
          memory.toldUntil = run.endedAt
      }
      return true
    } catch (thrown) {
      log.debug({ error: toAppError(thrown) }, 'the last runs could not be read for messages')
      return false
    }
  }
  const first = ask()
  let again: Promise<boolean> | null = null
  return async () => {
    if (await first) return memory
    again ??= ask()
    await again
    return memory
  }
}

function failingRun({ startedAt, error, status }: Run): Failing {
  return { since: startedAt, title: error?.message ?? status, cases: [] }
}

function messageOfRun(
  { on, sender }: NotifierParts,
  { run, reasons, standings }: Memory & { run: Run; reasons: readonly string[] },
): Message | null {
  // Who was cut short or had to wait for another says nothing of whether it works.
  if (run.mode === 'dry-run' || (!isFailed(run) && isUndecided(run))) return null
  const always = on.includes('always')
  const change = standings.note(run.job, isFailed(run) ? failingRun(run) : null)
  if (change.kind === 'began')
    return always || on.includes('failure') ? failureOfRun(sender, run, reasons) : null
  if (change.kind === 'ended' && (always || on.includes('recovery')))
    return recoveryOfRun(sender, run, { was: change.was, reasons })
  if (isFailed(run)) return null
  if (forAPerson(run) > 0 && (always || on.includes('failure')))
    return attentionOfRun(sender, run, reasons)
  return always ? endOfRun(sender, run, reasons) : null
}

function isUndecided({ status }: Run): boolean {
  return status !== 'success' && status !== 'partial'
}

function messageOf(
  { on, sender }: NotifierParts,
  { condition, standings, toldUntil }: Memory & { condition: Condition },
): Message | null {
  const { subject, trouble } = condition
  const always = on.includes('always')
  if (trouble === null) {
    const change = standings.note(subject, null)
    const tells = change.kind === 'ended' && (always || on.includes('recovery'))
    return tells ? recoveryOf(sender, condition, change.was) : null
  }
  const since = trouble.since ?? sender.stamp().at
  const failing = { since, title: trouble.title, cases: trouble.cases ?? [] }
  const isOld = trouble.since !== undefined && toldUntil !== null && trouble.since < toldUntil
  if (isOld) standings.recall(subject, failing)
  const { kind } = standings.note(subject, failing)
  return kind === 'began' && (always || on.includes('failure'))
    ? failureOf(sender, condition, trouble)
    : null
}
