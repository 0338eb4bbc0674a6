import type { Held, Items } from '../db/items.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Item } from '../media.ts'
import { createClockWatch, createWakefulClock } from './clock.ts'

/**
 * The leases that this process holds, waiting items' too, kept alive by one heartbeat for all of them. It goes out with nothing
 * in hand, too: each answer tells the database's time, and so whether its clock can be relied on.
 */
export interface Leases {
  /** The time by which leases are judged, in milliseconds from an arbitrary start. */
  now(): number
  /**
   * From now on the item's lease is extended.
   *
   * @param since when the claim was sent, by {@link now}: the lease began before its answer came
   * @returns a signal that aborts with LEASE_LOST (or CANCELLED)
   */
  hold(item: Held, since?: number): AbortSignal
  /** The item has left our hands. */
  drop(item: Held): void
  held(): Held[]
  /** @throws LEASE_LOST when the lease may be over; asked before every change that others can see */
  assertAlive(item: Held): void
  /**
   * The same, asked of the database, before what cannot be undone: a virtual machine that was paused knows nothing of it,
   * by none of its clocks, and another worker may have finished the item since.
   *
   * @returns the database's time in milliseconds
   * @throws LEASE_LOST, DB_*
   */
  confirm(item: Held): Promise<number>
  /**
   * True while the database's clock, which is asked now, and ours run alike; releases pause otherwise.
   *
   * @throws DB_*
   */
  clockIsSteady(): Promise<boolean>
  /** How long ago the database's clock was seen to have jumped, in milliseconds; null while it runs steadily. */
  clockJumpedMs(): number | null
  /** Sends one heartbeat now. */
  beat(): Promise<void>
  stop(): void
}

interface Entry {
  held: Held
  renewedAt: number
  controller: AbortController
}

/**
 * @param leaseMs a lease's length; a worker stops itself two thirds of it after the send time of the last
 *   acknowledged heartbeat, by its monotonic clock
 * @param beatMs time between heartbeats; 0 for none by themselves
 */
export function createLeases(options: {
  items: Pick<Items, 'heartbeat'>
  log: Log
  leaseMs: number
  beatMs: number
  now?: () => number
}): Leases {
  const { items, log, leaseMs, beatMs } = options
  const now = options.now ?? createWakefulClock()
  const entries = new Map<number, Entry>()
  const clock = createClockWatch(now)
  let beating: Promise<void> | null = null

  const lose = ({ held, controller }: Entry, why: string) => {
    controller.abort(new AppError('LEASE_LOST', `the lease of item ${held.id} is lost: ${why}`))
  }

  const ask = async (held: readonly Held[]) => {
    const { alive, databaseTimeMs } = await items.heartbeat(held)
    clock.told(databaseTimeMs)
    return { alive, databaseTimeMs }
  }

  const beatOnce = async () => {
    const sentAt = now()
    const asked = [...entries.values()]
    try {
      const { alive } = await ask(asked.map((entry) => entry.held))
      for (const entry of asked) {
        if (alive.has(entry.held.id)) entry.renewedAt = sentAt
        else lose(entry, 'another worker holds it')
      }
    } catch (error) {
      // With nothing in hand it was about the clock alone.
      log[asked.length === 0 ? 'debug' : 'warn']({ error: toAppError(error) }, 'heartbeat failed')
    }
    for (const entry of asked)
      if (now() - entry.renewedAt > (leaseMs * 2) / 3) lose(entry, 'no heartbeat got through')
  }

  const beat = () => {
    beating ??= beatOnce().finally(() => {
      beating = null
    })
    return beating
  }
  const timer = beatMs > 0 ? setInterval(beat, beatMs).unref() : null

  const entryOf = (item: Held) => {
    const entry = entries.get(item.id)
    if (entry?.held.epoch === item.epoch) return entry
    throw new AppError('LEASE_LOST', `item ${item.id} is not held`)
  }
  const assertAlive = (item: Held) => {
    const entry = entryOf(item)
    if (now() - entry.renewedAt > (leaseMs * 2) / 3) lose(entry, 'no heartbeat got through')
    entry.controller.signal.throwIfAborted()
  }

  return {
    now,
    hold(item, since = now()) {
      const controller = new AbortController()
      entries.set(item.id, {
        held: { id: item.id, epoch: item.epoch },
        renewedAt: since,
        controller,
      })
      return controller.signal
    },
    drop(item) {
      if (entries.get(item.id)?.held.epoch === item.epoch) entries.delete(item.id)
    },
    held: () => [...entries.values()].map((entry) => entry.held),
    assertAlive,
    async confirm(item) {
      const entry = entryOf(item)
      const sentAt = now()
      const { alive, databaseTimeMs } = await ask([entry.held])
      if (alive.has(item.id)) entry.renewedAt = Math.max(entry.renewedAt, sentAt)
      else lose(entry, 'another worker holds it')
      assertAlive(item)
      return databaseTimeMs
    },
    async clockIsSteady() {
      await ask([])
      return clock.jumpedMs() === null
    },
    clockJumpedMs: clock.jumpedMs,
    beat,
    stop() {
      if (timer !== null) clearInterval(timer)
    },
  }
}

/** By the database's clock. A pass that claims only what was due when it began never meets again what it put back. */
export async function databaseTime({ items }: { items: Pick<Items, 'heartbeat'> }): Promise<Date> {
  return new Date((await items.heartbeat([])).databaseTimeMs)
}

/** Those items that are still held become free for the next pass at once, in the state they are in. Never throws. */
export async function giveBack(
  { items, leases, log }: { items: Pick<Items, 'yield'>; leases: Leases; log: Log },
  taken: readonly Item[],
): Promise<void> {
  for (const item of taken) {
    if (!leases.held().some(({ id, epoch }) => id === item.id && epoch === item.epoch)) continue
    leases.drop(item)
    await items.yield(item, { error: null, delayMs: 0 }).catch((error: unknown) => {
      const told = { item: item.id, error: toAppError(error) }
      log.warn(told, 'the lease could not be given back; it runs out')
    })
  }
}
