import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Channel } from './channels.ts'
import type { Delivery } from './delivery.ts'

/** Sends what is put into it, one after the other, in the background. */
export interface Lane<T> {
  /** Returns at once and never throws; `delivered` is called once it is. */
  put(what: T, delivered?: () => void): void
  /** Sends what is left without pausing for long; what has not gone when `signal` fires is dropped, and the log says so. */
  close(signal: AbortSignal): Promise<void>
}

export interface LaneParts<T> {
  channel: Channel<T>
  /** How many may wait; beyond that the oldest goes. */
  room: number
  log: Log
  /** Resolves after `ms`, or as soon as the signal fires. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>
  /** Monotonic milliseconds. */
  now: () => number
}

const FIRST_PAUSE_MS = 2_000
const LONGEST_PAUSE_MS = 600_000
const GIVE_UP_AFTER_MS = 24 * 3_600_000
const LAST_TRIES = 2
const LAST_PAUSE_MS = 1_000

/** What could not be sent is tried again, ever more seldom, for a day. */
export function createLane<T>(parts: LaneParts<T>): Lane<T> {
  const { channel, room, log } = parts
  const queue: Entry<T>[] = []
  const hurry = new AbortController()
  const stop = new AbortController()
  let working: Promise<void> | null = null

  const drain = async () => {
    for (let entry = queue[0]; entry !== undefined; entry = queue[0]) {
      await deliver(parts, entry, { hurry: hurry.signal, stop: stop.signal })
      if (queue[0] === entry) queue.shift()
    }
    working = null
  }
  return {
    put(what, delivered = () => {}) {
      queue.push({ what, delivered, since: parts.now(), dropped: new AbortController() })
      if (queue.length > room) {
        queue.shift()?.dropped.abort()
        log.warn({ channel: channel.name }, 'too many messages wait; the oldest was dropped')
      }
      working ??= drain()
    },
    async close(signal) {
      hurry.abort()
      const cut = (): void => stop.abort()
      signal.addEventListener('abort', cut, { once: true })
      if (signal.aborted) cut()
      await working
      signal.removeEventListener('abort', cut)
    },
  }
}

interface Entry<T> {
  what: T
  delivered: () => void
  since: number
  /** Fires when it had to make room. */
  dropped: AbortController
}

async function deliver<T>(
  { channel, log, wait, now }: LaneParts<T>,
  entry: Entry<T>,
  { hurry, stop }: { hurry: AbortSignal; stop: AbortSignal },
): Promise<void> {
  const { name, setting } = channel
  let lastTries = 0
  for (let tries = 1; ; tries++) {
    const delivery = stop.aborted ? stopped : await attempt(channel, entry.what, stop)
    if (delivery.kind === 'delivered') {
      log.debug({ channel: name, tries }, 'message sent')
      entry.delivered()
      return
    }
    if (entry.dropped.signal.aborted) return
    const { why, remedy } = delivery
    if (hurry.aborted) lastTries += 1
    const isOver =
      delivery.kind === 'refused' ||
      stop.aborted ||
      lastTries > LAST_TRIES ||
      now() - entry.since > GIVE_UP_AFTER_MS
    if (isOver) {
      log.error({ channel: name, setting, why, remedy, tries }, 'a message was not delivered')
      return
    }
    const text = 'a message could not be sent yet'
    if (tries === 1) log.warn({ channel: name, setting, why, remedy }, text)
    const pauseMs = Math.max(pauseAfter(tries), delivery.retryAfterMs ?? 0)
    if (hurry.aborted) await wait(LAST_PAUSE_MS, stop)
    else await wait(pauseMs, AbortSignal.any([hurry, stop, entry.dropped.signal]))
  }
}

/** A fault of ours in one message must cost neither the next one nor the program. */
async function attempt<T>(channel: Channel<T>, what: T, stop: AbortSignal): Promise<Delivery> {
  try {
    return await channel.send(what, stop)
  } catch (thrown) {
    const { message, hint } = toAppError(thrown)
    return { kind: 'refused', why: message, remedy: hint }
  }
}

const stopped: Delivery = {
  kind: 'failed',
  why: 'the program was stopped before it was sent',
  remedy: 'nothing to do: what fails still is told again after the next start',
}

/** Doubled each time, up to ten minutes; half of it is left to chance, so that many nodes do not come at once. */
function pauseAfter(tries: number): number {
  const full = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 20), LONGEST_PAUSE_MS)
  return full * (0.5 + Math.random() / 2)
}
