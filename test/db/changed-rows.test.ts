import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { DueItem, Item } from '../../src/media.ts'
import {
  EPOCH_MS,
  GRACE_MS,
  intentFor,
  type PostgresStore,
  postgresStore,
} from '../contract/items-stores.ts'
import { overtaken } from '../support/locks.ts'
import type { Scope } from '../support/scopes.ts'

/** Media row 1 is archived. */
async function withArchived(t: Scope): Promise<PostgresStore> {
  const store = await postgresStore(t)
  await store.addMedia(1)
  const items = store.worker('a')
  const [item] = (await items.claim(1, [])) as [Item]
  await items.commitIntent(item, intentFor(item, 'folder/1'))
  assert.equal(await items.record(item), 'archived')
  return store
}

/** Its source is gone, and it was approved anew and looked for. */
async function withMissing(t: Scope): Promise<PostgresStore> {
  const store = await withArchived(t)
  const items = store.worker('a')
  await store.elapse(GRACE_MS + 1_000)
  const [due] = (await items.claimDue(1, [])) as [DueItem]
  await items.released(due, 'deleted')
  await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 1 })
  const [again] = (await items.claim(1, [])) as [Item]
  const error = new AppError('OBJECT_MISSING', 'gone')
  await items.putBack(again, { state: 'missing', error, delayMs: 0, burn: false })
  return store
}

for (const { what, start, mark } of [
  {
    what: 'approved again',
    async start(t: Scope) {
      const store = await withArchived(t)
      await store.changeMedia(1, { status: 'approved' })
      return store
    },
    mark: 'markReapproved',
  },
  { what: 'approved anew after its release', start: withMissing, mark: 'markReleasedBefore' },
] as const) {
  for (const { how, early } of [
    {
      how: 'another upload',
      early: { object_key: 'second', approved_at: new Date(EPOCH_MS + 2) },
    },
    { how: 'another size', early: { file_size: 6 } },
    { how: 'another approval', early: { approved_at: new Date(EPOCH_MS + 2) } },
  ])
    test(`a row that was ${what} and gets ${how} while it is set back is archived anew`, async (t) => {
      const store = await start(t)
      const marked = await overtaken(
        store.sql,
        (inside) => inside`update media set ${inside(early)} where id = 1`,
        () => [store.worker('a')[mark]()],
      )
      assert.deepEqual(marked, [[]])
      assert.equal((await store.seen()).media[0]?.status, 'approved')
      const [item] = (await store.worker('a').claim(9, [])) as [Item]
      assert.equal(item.media.objectKey, 'object_key' in early ? 'second' : 'uploads/clip.mp4')
    })

  test(`a row that was ${what} and gets another title while it is set back is archived`, async (t) => {
    const store = await start(t)
    const marked = await overtaken(
      store.sql,
      (inside) => inside`update media set title = 'another' where id = 1`,
      () => [store.worker('a')[mark]()],
    )
    assert.deepEqual(marked, [[1]])
    assert.equal((await store.seen()).media[0]?.status, 'archived')
  })
}
