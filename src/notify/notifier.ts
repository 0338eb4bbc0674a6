import type { NotifyOn } from '../config/notify.ts'
import type { Log } from '../log.ts'
import type { Run } from '../runs.ts'
import type { Channels } from './channels.ts'
import { createLane, type LaneParts } from './lane.ts'
import { createMemory, type ToldStore } from './memory.ts'
import { clip, type Message, printable } from './message.ts'
import { createOrder } from './order.ts'
import { createPinger, isFailed, type Ping } from './pings.ts'
import type { Change, Condition, Failing, Standings } from './standing.ts'
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
  /** False where no message goes anywhere: nothing need be looked at to tell of it. */
  readonly tellsPeople: boolean
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
  /** What outlives the process; null without a database. */
  history: History | null
}

export interface History extends ToldStore {
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
  const memory = createMemory(parts.history, parts.log)
  // Of the sync in hand: no other job settles items, and a scrub may begin and end beside it.
  let reasons: string[] = []

  const ping = (sign: Ping | null) => {
    if (sign !== null) for (const lane of pings) lane.put(sign)
  }
  const inOrder = createOrder(parts.log, 'a message could not be made')
  const say = (message: Message, delivered?: () => void) => {
    for (const lane of messages) lane.put(message, delivered)
  }
  const announce = (about: Pick<Condition, 'subject' | 'ofNode'>, { change, message }: News) => {
    const learnt = about.ofNode === true ? () => {} : memory.learning(about.subject, change)
    if (message !== null) say(message, learnt)
    // Who asked to hear nothing of it need not be told later either.
    else learnt()
  }
  const tellsPeople = messages.length > 0
  return {
    tellsPeople,
    started(run) {
      if (run.job === 'sync') reasons = []
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
      if (!tellsPeople) return
      const said = run.job === 'sync' ? reasons : []
      inOrder(async () => {
        const standings = await memory.standings()
        announce({ subject: run.job }, newsOfRun(parts, { run, reasons: said, standings }))
      })
    },
    tell(condition) {
      if (!tellsPeople) return
      inOrder(async () => announce(condition, newsOf(parts, condition, await memory.standings())))
    },
    digest(since) {
      if (!tellsPeople) return
      inOrder(async () => {
        const standings = await memory.standings()
        const runs = (await parts.history?.endedSince(since)) ?? []
        say(digestOf(parts.sender, { since, runs, failing: standings.failing() }))
      })
    },
    async close(signal) {
      await inOrder(async () => {})
      await Promise.all([...messages, ...pings].map((lane) => lane.close(signal)))
      await memory.close()
    },
  }
}

interface News {
  change: Change
  /** Null where it is no news for anybody. */
  message: Message | null
}

function failingRun({ startedAt, error, status }: Run): Failing {
  return { since: startedAt, title: error?.message ?? status, cases: [] }
}

function newsOfRun(
  parts: NotifierParts,
  { standings, ...told }: { run: Run; reasons: readonly string[]; standings: Standings },
): News {
  const { run } = told
  // Who was cut short or had to wait for another says nothing of whether it works.
  if (run.mode === 'dry-run' || (!isFailed(run) && isUndecided(run)))
    return { change: { kind: 'same' }, message: null }
  const change = standings.note(run.job, isFailed(run) ? failingRun(run) : null)
  return { change, message: messageOfRun(parts, { ...told, change }) }
}

function messageOfRun(
  { on, sender }: NotifierParts,
  { run, reasons, change }: { run: Run; reasons: readonly string[]; change: Change },
): Message | null {
  const always = on.includes('always')
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

function newsOf({ on, sender }: NotifierParts, condition: Condition, standings: Standings): News {
  const { subject, trouble } = condition
  const wants = (kind: 'failure' | 'recovery') => on.includes('always') || on.includes(kind)
  if (trouble === null) {
    const change = standings.note(subject, null)
    const tells = change.kind === 'ended' && wants('recovery')
    return { change, message: tells ? recoveryOf(sender, condition, change.was) : null }
  }
  const { title, since = sender.stamp().at, cases = [] } = trouble
  const change = standings.note(subject, { since, title, cases })
  const tells = change.kind === 'began' && wants('failure')
  return { change, message: tells ? failureOf(sender, condition, trouble) : null }
}
