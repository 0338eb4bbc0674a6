import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Ask } from '../../src/db/group.ts'
import { createGroup } from '../../src/db/group.ts'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import {
  GRACE_MS,
  intentFor,
  LEASE_MS,
  type PostgresStore,
  postgresStore,
} from '../contract/items-stores.ts'
import { overtaken } from '../support/locks.ts'
import { hasCode, type Scope } from '../support/scopes.ts'

const COUNT = 12

/** Stands for a database: it is never asked, only told apart. */
const nowhere: Ask = async () => {
  throw new Error('nothing is asked here')
}
const ask = {
  together: nowhere,
  alone: async () =>
    nowhere(() => {
      throw new Error()
    }),
} satisfies {
  together: Ask
  alone: Ask
}

describe('a group', () => {
  test('asks at once for all who ask at once, and then for those who came meanwhile', async () => {
    const asked: number[][] = []
    const first = Promise.withResolvers<void>()
    const double = createGroup(ask, async (numbers: readonly number[]) => {
      asked.push([...numbers])
      if (asked.length === 1) await first.promise
      return numbers.map((number) => number * 2)
    })
    const early = [1, 2].map(double)
    await new Promise((resolve) => setImmediate(resolve))
    const late = [3, 4, 5].map(double)
    first.resolve()
    assert.deepEqual(await Promise.all([...early, ...late]), [2, 4, 6, 8, 10])
    assert.deepEqual(asked, [
      [1, 2],
      [3, 4, 5],
    ])
    assert.equal(await double(6), 12)
  })

  test('never asks for more than 64 at once', async () => {
    const sizes: number[] = []
    const same = createGroup(ask, async (numbers: readonly number[]) => {
      sizes.push(numbers.length)
      return numbers
    })
    const numbers = Array.from({ length: 150 }, (_, number) => number)
    assert.deepEqual(await Promise.all(numbers.map(same)), numbers)
    assert.deepEqual(sizes, [64, 64, 22])
  })

  test('asks alone for those of whom a statement for several tells nothing', async () => {
    const asked: string[] = []
    const same = createGroup(ask, async (numbers: readonly number[]) => {
      asked.push(numbers.join())
      return numbers.map((number) => (numbers.length > 1 && number === 2 ? undefined : number))
    })
    assert.deepEqual(await Promise.all([1, 2, 3].map(same)), [1, 2, 3])
    assert.deepEqual(asked, ['1,2,3', '2'])
  })

  test('tells a failure to the one whose it is, and to nobody else; who hangs holds up nobody', async () => {
    const used: string[] = []
    const same = createGroup(ask, async (numbers: readonly number[], by) => {
      used.push(`${by === ask.together ? 'together' : 'alone'} ${numbers.join()}`)
      if (numbers.includes(2)) throw new AppError('DB_DENIED', 'not this one')
      if (numbers.length === 1 && numbers[0] === 3) await new Promise<void>(() => {})
      return numbers
    })
    const [one, two] = [1, 2, 3].map(same)
    assert.equal(await one, 1)
    await assert.rejects(two ?? Promise.resolve(), hasCode('DB_DENIED'))
    assert.equal(await same(4), 4)
    assert.deepEqual(used, ['together 1,2,3', 'alone 1', 'alone 2', 'alone 3', 'alone 4'])
  })
})

async function withItems(t: Scope): Promise<{ store: PostgresStore; held: Item[] }> {
  const store = await postgresStore(t)
  for (let id = 1; id <= COUNT; id++) await store.addMedia(id, { objectKey: `key ${id}` })
  const held = await store.worker('a').claim(COUNT, [])
  assert.equal(held.length, COUNT)
  return { store, held }
}

/** Every third one is a worker's of an earlier epoch. */
const isStale = ({ id }: Item) => id % 3 === 0
const asHeld = (item: Item): Item => (isStale(item) ? { ...item, epoch: item.epoch - 1 } : item)

describe('items that are written in one statement', () => {
  test('are told what became of each, from the intent to the release', async (t) => {
    const { store, held } = await withItems(t)
    const items = store.worker('a')
    const each = <T>(right: T, stale: T) => held.map((item) => (isStale(item) ? stale : right))
    const commit = (item: Item) => items.commitIntent(item, intentFor(item, `folder/${item.id}`))
    assert.deepEqual(
      await Promise.all(held.map((item) => commit(asHeld(item)))),
      each('committed', 'stale'),
    )
    assert.deepEqual(await Promise.all(held.map(commit)), each('committed', 'committed'))

    await store.changeMedia(1, { status: 'pending' })
    const recorded = await Promise.all(held.map((item) => items.record(asHeld(item))))
    assert.deepEqual(recorded, ['withdrawing', ...each('archived', 'stale').slice(1)])
    const again = await Promise.all(held.map((item) => items.record(item)))
    assert.deepEqual(again, ['withdrawing', ...each('archived', 'archived').slice(1)])

    await store.elapse(GRACE_MS + 1_000)
    const due = (await items.claimDue(COUNT, [])).sort((a, b) => a.id - b.id)
    assert.equal(due.length, COUNT - 1)
    const beats = await Promise.all(due.map((item) => items.heartbeat([asHeld(item)])))
    assert.deepEqual(
      beats.map(({ alive }) => alive.size),
      due.map((item) => (isStale(item) ? 0 : 1)),
    )
    await store.changeMedia(2, { status: 'approved' })
    const confirmed = await Promise.all(
      due.map((item) => items.confirmRelease({ ...asHeld(item), begun: false })),
    )
    assert.deepEqual(confirmed, [
      'refused',
      ...due.slice(1).map((item) => (isStale(item) ? 'stale' : 'confirmed')),
    ])
    const released = await Promise.all(
      due.map((item) =>
        items.released(asHeld(item), item.id % 2 === 0 ? 'already_gone' : 'deleted'),
      ),
    )
    assert.deepEqual(
      released,
      due.map((item) => item.id !== 2 && !isStale(item)),
    )

    const { audit } = await store.seen()
    const outcomes = audit.flatMap(({ action, details, mediaId }) =>
      action === 'source_deleted' ? [[mediaId, details.outcome]] : [],
    )
    assert.deepEqual(
      outcomes.sort(([a], [b]) => Number(a) - Number(b)),
      [4, 5, 7, 8, 10, 11].map((id) => [id, id % 2 === 0 ? 'already_gone' : 'deleted']),
    )
    assert.equal(audit.filter(({ action }) => action === 'archived').length, COUNT - 1)
  })

  test('may want one path at once: one gets it', async (t) => {
    const { store, held } = await withItems(t)
    const items = store.worker('a')
    const outcomes = await Promise.all(
      held.map((item) =>
        items.commitIntent(item, intentFor(item, item.id < 4 ? 'same' : `folder/${item.id}`)),
      ),
    )
    assert.deepEqual(outcomes.slice(0, 3).sort(), ['committed', 'taken', 'taken'])
    assert.ok(outcomes.slice(3).every((outcome) => outcome === 'committed'))
  })

  for (const [what, body, code] of [
    ['raises an error for', "raise exception 'not this one'", null],
    ['leaves alone', 'return null', 'ROW_REFUSED'],
  ] as const)
    test(`do not suffer for a row that a trigger ${what}`, async (t) => {
      const { store, held } = await withItems(t)
      const items = store.worker('a')
      await Promise.all(
        held.map((item) => items.commitIntent(item, intentFor(item, `f/${item.id}`))),
      )
      await store.sql.unsafe(`
        create function public.refuse() returns trigger language plpgsql as $$
          begin if old.id = 5 then ${body}; end if; return new; end $$;
        create trigger refuse before update on media for each row execute function public.refuse()`)
      const outcomes = await Promise.allSettled(held.map((item) => items.record(item)))
      for (const [at, outcome] of outcomes.entries()) {
        if (held[at]?.media.mediaId !== 5)
          assert.deepEqual(outcome, { status: 'fulfilled', value: 'archived' })
        else {
          assert.equal(outcome.status, 'rejected')
          if (code !== null)
            assert.ok(hasCode(code)(outcome.status === 'rejected' && outcome.reason))
        }
      }
      const { audit } = await store.seen()
      assert.equal(audit.length, COUNT - 1)
    })

  test('never stand in the way of a backend that changes the same rows in its own order', async (t) => {
    const { store, held } = await withItems(t)
    const items = store.worker('a')
    await Promise.all(held.map((item) => items.commitIntent(item, intentFor(item, `f/${item.id}`))))
    // The first one in hand is the last one that the backend comes to.
    const [first] = held
    const last = held.at(-1)
    assert.ok(first && last)
    const recorded = await store.sql.begin(async (inside) => {
      const rename = (item: Item) =>
        inside`update media set title = 'anew' where id = ${item.media.mediaId}`
      await rename(last)
      const all = held.map((item) => items.record(item))
      await Promise.all(all.slice(0, -1))
      // Waited for by nobody who holds this one.
      await rename(first)
      return all
    })
    assert.deepEqual(
      await Promise.all(recorded),
      held.map(() => 'archived'),
    )
  })

  test('find the leases of those gone that were taken over while they waited', async (t) => {
    const { store, held } = await withItems(t)
    const items = store.worker('a')
    await Promise.all(held.map((item) => items.commitIntent(item, intentFor(item, `f/${item.id}`))))
    await store.elapse(LEASE_MS + 1_000)
    const [outcomes] = await overtaken(
      store.sql,
      (inside) => inside`update strongroom.items set epoch = epoch + 1 where id % 3 = 0`,
      () => [Promise.all(held.map((item) => items.record(item)))],
    )
    assert.deepEqual(
      outcomes,
      held.map((item) => (isStale(item) ? 'stale' : 'archived')),
    )
  })
})
