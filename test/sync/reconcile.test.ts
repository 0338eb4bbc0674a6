import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reconcile } from '../../src/sync/reconcile.ts'
import { approveMedium, itemOf } from '../support/media-rows.ts'
import { expireLeases, openWorker, withSite } from '../support/worker.ts'

test('a recovery that the database refuses is tried once in a pass, however long that takes', async (t) => {
  const site = await withSite(t)
  const media = [await approveMedium(site), await approveMedium(site)]
  await site.sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.status = 'archived' then raise exception 'not yet'; end if; return new; end $$;
    create trigger refuse before update on media for each row execute function refuse()`)
  await (await openWorker(t, site)).sync()
  assert.equal((await itemOf(site, media[0]?.mediaId ?? 0)).state, 'publishing')
  await expireLeases(site)
  const stop = new AbortController()
  let hashed = 0
  const { parts } = await openWorker(t, site, {
    disk: (disk) => ({
      ...disk,
      async hash(path, signal) {
        hashed += 1
        if (hashed > 2) stop.abort()
        return disk.hash(path, signal)
      },
    }),
  })
  // As when to read the files takes longer than what failed waits for its next turn.
  const { items } = parts
  const yields: typeof items.yield = (item, error) => items.yield(item, error, 0)
  const found = await reconcile({ ...parts, items: { ...items, yield: yields } }, stop.signal)
  assert.deepEqual([hashed, found.failed], [2, 2])
  await site.sql.unsafe('drop trigger refuse on media')
  assert.equal((await (await openWorker(t, site)).reconcile()).recorded, 2)
})
