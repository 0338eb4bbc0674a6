import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { HealVerdict, Items } from '../../src/db/items.ts'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import {
  DAY_MS,
  EPOCH_MS,
  intentFor,
  type MediaChange,
  postgresStore,
  type Store,
  simulatedStore,
} from './items-stores.ts'

const error = new AppError('TRANSFER_BROKEN', 'it broke')
const rejection = { reason: 'r', report: 'p', sha256: 'ef'.repeat(32), sizeBytes: 5 }

/** What a worker may ask about one item, whoever's it is by now. */
const requests: readonly ((items: Items, item: Item) => Promise<unknown>)[] = [
  (items, item) => items.commitIntent(item, intentFor(item, `folder/${item.media.mediaId % 2}`)),
  (items, item) => items.commitIntent(item, intentFor(item, `folder/${item.id}`)),
  (items, item) => items.record(item),
  (items, item) => items.record(item),
  (items, item) => items.reject(item, rejection),
  (items, item) => items.putBack(item, { state: 'waiting', error, delayMs: 30_000, burn: true }),
  (items, item) => items.putBack(item, { state: 'missing', error, delayMs: 30_000, burn: true }),
  (items, item) => items.putBack(item, { state: 'waiting', error: null, delayMs: 0, burn: false }),
  (items, item) => items.putBack(item, { state: 'held', error }),
  (items, item) => items.restart(item),
  (items, item) => items.yield(item, { error, delayMs: 30_000, attempts: 3 }),
  (items, item) => items.yield(item, { error: null, delayMs: 0 }),
  (items, item) => items.finishWithdrawal(item, 'aside'),
  (items, item) => items.confirmRelease({ ...item, begun: false }),
  (items, item) => items.confirmRelease({ ...item, begun: true }),
  (items, item) => items.released(item, 'deleted'),
  (items, item) => items.keepSource(item, { state: 'archived', error, delayMs: 30_000 }),
  (items, item) => items.keepSource(item, { state: 'source_differs', error, delayMs: 0 }),
  (items, item) => items.keepSource(item, { state: 'lost', error, delayMs: 0 }),
  (items, item) => items.keepSource(item, { state: 'archived', error, delayMs: 0, damage: null }),
  (items, item) => items.keepSource(item, { state: 'lost', error, delayMs: 0, damage: 'gone' }),
  (items, item) => settled(items, item, { outcome: 'whole' }),
  (items, item) => settled(items, item, { outcome: 'whole' }),
  (items, item) => settled(items, item, { outcome: 'damaged', damage: 'flipped' }),
  (items, item) => settled(items, item, { outcome: 'lost', damage: 'gone', error }),
  async (items, item) => (await items.claimFiled(item.id, []))?.epoch,
  (items, item) => items.settleHeal(item, { outcome: 'whole' }),
  async (items, item) => [...(await items.heartbeat([item])).alive],
  async (items, item) => [...(await items.current([item.id]))],
]

async function settled(items: Items, { id }: Item, verdict: HealVerdict): Promise<unknown> {
  const item = await items.claimFiled(id, [])
  return item && [item.state, await items.settleHeal(item, verdict)]
}

const changes: readonly MediaChange[] = [
  { status: 'approved' },
  { status: 'approved' },
  { status: 'pending' },
  { deleted: true },
  { deleted: false },
  { objectKey: 'other.mp4' },
  { objectKey: 'uploads/clip.mp4' },
  { approvedAt: EPOCH_MS + 60_000 },
  { fileSize: 0 },
]

const switches = [
  'latchSick',
  'clearSick',
  'pauseRelease',
  'resumeRelease',
  'pauseHealing',
  'resumeHealing',
] as const

type Command =
  | {
      of: 'claims'
      how: 'claim' | 'claimAbandoned' | 'claimDue'
      owner: string
      keep: boolean
      cap: number | null
    }
  | { of: 'request'; number: number; owner: string; item: number }
  | { of: 'change'; number: number; media: number }
  | { of: 'elapse'; ms: number }
  | { of: 'archives'; how: (typeof switches)[number] }
  | { of: 'markReapproved' | 'closeUnapproved' }

const owner = fc.constantFrom('a', 'b')
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      of: fc.constant('claims' as const),
      how: fc.constantFrom('claim', 'claim', 'claimAbandoned', 'claimDue'),
      owner,
      keep: fc.boolean(),
      cap: fc.constantFrom(null, null, 0, 1, 2),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      of: fc.constant('request' as const),
      number: fc.nat(requests.length - 1),
      owner,
      item: fc.nat(5),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      of: fc.constant('change' as const),
      number: fc.nat(changes.length - 1),
      media: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      of: fc.constant('elapse' as const),
      ms: fc.constantFrom(31_000, 61_000, 601_000, 601_000, DAY_MS),
    }),
  },
  fc.record({
    of: fc.constant('archives' as const),
    how: fc.constantFrom(...switches),
  }),
  fc.record({ of: fc.constantFrom('markReapproved', 'closeUnapproved') }),
)

/** Runs the commands on one store and notes every answer and every row after it. */
async function transcript(store: Store, commands: readonly Command[]): Promise<unknown[]> {
  await store.clear()
  for (const id of [1, 2, 3]) await store.addMedia(id, { approvedAt: EPOCH_MS + id })
  /** Newest first, so that a request mostly meets an item that is somebody's. */
  const known: Item[] = []
  const lines: unknown[] = []
  for (const step of commands) {
    const answer = await runCommand(store, step, known)
    lines.push([step, answer, await store.seen()])
  }
  return lines
}

async function runCommand(store: Store, step: Command, known: Item[]): Promise<unknown> {
  switch (step.of) {
    case 'claims': {
      const held = step.keep ? known : []
      const found = await store.worker(step.owner, step.cap)[step.how](2, held)
      // An UPDATE returns its rows in no promised order.
      found.sort((a, b) => a.id - b.id)
      known.unshift(...found)
      return found.map(({ archivedAt, ...item }) => ({ ...item, archived: archivedAt !== null }))
    }
    case 'request': {
      const item = known[step.item]
      return item && requests[step.number]?.(store.worker(step.owner), item)
    }
    case 'change':
      return store.changeMedia(step.media, changes[step.number] ?? {})
    case 'elapse':
      return store.elapse(step.ms)
    case 'archives':
      return store.archives[step.how]('by hand')
    case 'markReapproved':
    case 'closeUnapproved':
      return (await store.worker('a')[step.of]()).sort()
  }
}

test('the simulated database answers any sequence of calls as the SQL does', async (t) => {
  const real = await postgresStore(t)
  const simulated = await simulatedStore()
  const property = fc.asyncProperty(
    fc.array(command, { minLength: 10, maxLength: 60, size: 'max' }),
    async (commands) => {
      const expected = await transcript(real, commands)
      assert.deepEqual(await transcript(simulated, commands), expected)
    },
  )
  await fc.assert(property, { numRuns: 40 })
})
