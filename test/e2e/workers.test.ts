import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { Point } from '../../src/sync/parts.ts'
import { photograph, violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { withFolder } from '../support/scopes.ts'
import { type Service, type Spoilt, story, summaryOf, withService } from '../support/service.ts'

const ONCE = ['sync', '--once', '--json']

describe('workers side by side', { concurrency: 2 }, () => {
  test('two runs at once share 200 items, and each item is archived exactly once', async (t) => {
    const service = await withService(t, {
      env: { BATCH_SIZE: '10', SYNC_CONCURRENCY: '16', RELEASE_GRACE: '0' },
    })
    await service.migrate()
    await service.approve(200)
    const halted = { STRONGROOM_HALT: 'claimed:SIGSTOP' }
    const workers = [service.start(ONCE, halted), service.start(ONCE, halted)]
    // A busy machine may start one of them seconds after the other.
    for (const worker of workers) await worker.stoppedAt('claimed')
    for (const worker of workers) worker.kill('SIGCONT')
    const both = await Promise.all(workers.map(({ ended }) => ended))
    for (const ended of both) {
      // The one that ends first may see items in the other's hands.
      const elsewhere = summaryOf(ended).unfinished?.leased.items ?? 0
      assert.equal(ended.code, elsewhere > 0 ? 75 : 0, story(ended))
      const { archived } = summaryOf(ended).items
      assert.ok(archived >= 40, `one of the two archived only ${archived}`)
    }
    const archived = both.map((ended) => summaryOf(ended).items.archived)
    assert.equal(
      archived.reduce((sum, count) => sum + count),
      200,
    )
    assert.deepEqual(await violations(service, { converged: true }), [])
  })

  const poisons: { what: string; spoilt: Spoilt; state: string; code: number }[] = [
    { what: 'an object that is no media', spoilt: text('hello'), state: 'rejected', code: 0 },
    { what: 'an object that is not there', spoilt: 'no object', state: 'missing', code: 75 },
    { what: 'a file that crashes ffprobe', spoilt: text('CRASH'), state: 'waiting', code: 75 },
  ]
  for (const { what, spoilt, state, code } of poisons) {
    test(`${what} costs no other item of its batch anything, wherever it stands`, async (t) => {
      const FFPROBE_PATH = await crashingProbe(t)
      const service = await withService(t, { env: { BATCH_SIZE: '5', FFPROBE_PATH } })
      const first = { batch: 0, place: 0 }
      const middle = { batch: 1, place: 2 }
      const last = { batch: 2, place: 4 }
      const at = [first, middle, last].map(({ batch, place }) => batch * 5 + place)
      await service.approve(15, (n) => (at.includes(n) ? spoilt : undefined))
      const ended = await service.run(ONCE)
      assert.equal(ended.code, code, story(ended))
      const rows = await service.sql`select media_id, state from strongroom.items order by media_id`
      assert.deepEqual(
        rows.map((row) => row.state),
        Array.from({ length: 15 }, (_, n) => (at.includes(n) ? state : 'archived')),
      )
      const broken = await violations(service, { converged: true })
      assert.deepEqual(
        broken.filter((sentence) => !sentence.endsWith('is still waiting')),
        [],
      )
    })
  }
})

describe('a worker that wakes after its lease was over', { concurrency: 2 }, () => {
  const stops: Point[] = [
    'claimed',
    'intent-committed',
    'sidecar-linked',
    'file-linked',
    'published',
    'withdrawing',
    'moved-aside',
    'source-seen',
    'source-deleted',
  ]
  for (const point of stops) {
    test(`changes nothing when it was stopped at "${point}"`, async (t) => {
      const service = await withService(t, { env: { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '1' } })
      await service.approve(3)
      if (/withdrawing|moved-aside/.test(point)) await withdrawSecond(service)

      const sleeper = service.start(ONCE, { STRONGROOM_HALT: `${point}:SIGSTOP` })
      await sleeper.stoppedAt(point)
      await service.expireLeases()
      const other = await service.run(ONCE)
      assert.equal(other.code, 0, story(other))
      assert.deepEqual(await violations(service, { converged: true }), [], 'before it wakes')
      const before = await photograph(service)

      sleeper.kill('SIGCONT')
      const woken = await sleeper.ended
      assert.notEqual(woken.code, null, story(woken))
      assert.notEqual(woken.code, 70, story(woken))
      assert.deepEqual(await photograph(service), before, story(woken))
      assert.deepEqual(await violations(service, { converged: true }), [], 'after it woke')
    })
  }

  test('does not delete what was uploaded under the key since it looked', async (t) => {
    // R2 documents no conditional DELETE, so this bucket honours none: only the two seconds guard the object.
    const demo = await withDemoBucket(t)
    const service = await withService(t, {
      bucket: demo,
      env: { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '1' },
    })
    const [upload] = await service.approve(1)
    assert.ok(upload)
    const sleeper = service.start(ONCE, { STRONGROOM_HALT: 'source-seen:SIGSTOP' })
    await sleeper.stoppedAt('source-seen')
    const stoppedAt = performance.now()
    await service.expireLeases()
    do {
      const other = await service.run(ONCE)
      assert.equal(other.code, 0, story(other))
    } while (performance.now() - stoppedAt < 2_100)
    await service.admin.put(upload.key, 'something new')

    sleeper.kill('SIGCONT')
    const woken = await sleeper.ended
    assert.equal(woken.code, 0, story(woken))
    assert.deepEqual(await service.admin.list(), [upload.key])
  })
})

/** The backend takes the second medium's approval back at the moment it is being published. */
async function withdrawSecond({ sql, migrate, uploads }: Service): Promise<void> {
  await migrate()
  await sql.unsafe(`
    create function take_back() returns trigger language plpgsql as $$ begin
      update media set status = 'pending' where id = new.media_id;
      return null;
    end $$;
    create trigger take_back after update on strongroom.items for each row
      when (new.state = 'publishing' and old.state = 'claimed' and new.media_id = 2)
      execute function take_back()`)
  for (const upload of uploads) if (upload.mediaId === 2) upload.fate = 'kept'
}

function text(contents: string): Spoilt {
  return { bytes: Buffer.from(contents) }
}

/** An ffprobe that dies of a segmentation fault over a file that says so, as real ones did. */
async function crashingProbe(t: TestContext): Promise<string> {
  const path = join(await withFolder(t), 'ffprobe')
  const body = `#!/bin/sh
for last; do :; done
case $last in file:*) grep -q '^CRASH' "\${last#file:}" && kill -SEGV $$ ;; esac
exec ffprobe "$@"
`
  await writeFile(path, body)
  await chmod(path, 0o755)
  return path
}
