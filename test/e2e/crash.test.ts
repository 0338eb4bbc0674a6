import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { points } from '../../src/sync/parts.ts'
import { photograph, violations } from '../support/checker.ts'
import { type Service, story, summaryOf, withService } from '../support/service.ts'

const NOT_MEDIA = { bytes: Buffer.from('this is no picture') }

/** Four that are archived and released, one that is rejected. */
async function withApproved(t: TestContext): Promise<Service> {
  const service = await withService(t, { env: { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '2' } })
  await service.approve(5, (n) => (n === 1 ? NOT_MEDIA : undefined))
  return service
}

/** From now on the backend takes back the approval of media 3 and 4 as soon as they are being published. */
async function withdrawApprovals({ sql, migrate, uploads }: Service): Promise<void> {
  await migrate()
  await sql.unsafe(`
    create function take_back() returns trigger language plpgsql as $$ begin
      update media set status = 'pending' where id = new.media_id and status = 'approved';
      return null;
    end $$;
    create trigger take_back after update on strongroom.items for each row
      when (new.state = 'publishing' and old.state = 'claimed' and new.media_id in (3, 4))
      execute function take_back()`)
  for (const upload of uploads) if ([3, 4].includes(upload.mediaId)) upload.fate = 'kept'
}

async function crashAt(t: TestContext, halt: string): Promise<void> {
  const service = await withApproved(t)
  const withdraws = /^(withdrawing|moved-aside)/.test(halt)
  if (withdraws) await withdrawApprovals(service)

  const killed = await service.run(['sync', '--once'], { STRONGROOM_HALT: halt })
  assert.equal(killed.signal, 'SIGKILL', story(killed))
  assert.deepEqual(await violations(service, { converged: false }), [], 'right after the crash')

  await service.expireLeases()
  const next = await service.run(['sync', '--once', '--json'])
  assert.equal(next.code, 0, story(next))
  assert.deepEqual(await violations(service, { converged: true }), [], 'after the next run')
  const states = await service.sql`
    select state, count(*) from strongroom.items group by state order by state`
  assert.deepEqual(
    Object.fromEntries(states.map(({ state, count }) => [state, count])),
    withdraws ? { rejected: 1, released: 2, withdrawn: 2 } : { rejected: 1, released: 4 },
  )
}

describe('kill -9 costs nothing', { concurrency: 2 }, () => {
  for (const point of points) {
    test(`a worker killed at "${point}" loses nothing, and the next run finishes its work once`, (t) =>
      crashAt(t, `${point}:SIGKILL`))
  }
  test('a run after all is done finds nothing to do and changes nothing', async (t) => {
    const service = await withApproved(t)
    const first = await service.run(['sync', '--once'])
    assert.equal(first.code, 0, story(first))
    const before = await photograph(service)
    const idle = await service.run(['sync', '--once', '--json'])
    assert.equal(idle.code, 0, story(idle))
    assert.equal(summaryOf(idle).items.archived, 0)
    assert.deepEqual(await photograph(service), before)
  })
  test('a run right after it says what the dead worker still holds, for how long, and ends with 75', async (t) => {
    const service = await withApproved(t)
    const halt = { STRONGROOM_HALT: 'downloaded:SIGKILL', BATCH_SIZE: '3' }
    const killed = await service.run(['sync', '--once'], halt)
    assert.equal(killed.signal, 'SIGKILL', story(killed))

    const early = await service.run(['sync', '--once'])
    assert.equal(early.code, 75, story(early))
    const [, left] =
      /^3 items are in another run.s hands, or their lease is not over yet: try again in (\d+) s$/m.exec(
        early.stdout,
      ) ?? []
    assert.ok(Number(left) > 0 && Number(left) <= 90, story(early))
    const machine = await service.run(['sync', '--once', '--json'])
    assert.equal(machine.code, 75, story(machine))
    assert.equal(summaryOf(machine).unfinished?.leased.items, 3)

    await service.expireLeases()
    const late = await service.run(['sync', '--once'])
    assert.equal(late.code, 0, story(late))
    assert.doesNotMatch(late.stdout, /another run/)
    const idle = await service.run(['reconcile'])
    assert.equal(idle.stdout, 'there was nothing to finish or undo\n', story(idle))
    const counted = await service.run(['reconcile', '--json'])
    assert.equal(JSON.parse(counted.stdout).recorded, 0, story(counted))
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
  test('a recovery that leaves an item for another one ends with 75', async (t) => {
    const service = await withApproved(t)
    const halt = { STRONGROOM_HALT: 'published:SIGKILL', SYNC_CONCURRENCY: '1' }
    const killed = await service.run(['sync', '--once'], halt)
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    await service.expireLeases()
    await service.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin
        if new.status = 'archived' then raise exception 'not yet'; end if; return new; end $$;
      create trigger refuse before update on media for each row execute function refuse()`)
    const early = await service.run(['reconcile'])
    assert.match(early.stdout, /1 item to be tried again/, story(early))
    assert.equal(early.code, 75)
  })
  test('a row that lost its approval while its worker was dead is closed, and archived once approved again', async (t) => {
    const service = await withApproved(t)
    const halt = { STRONGROOM_HALT: 'downloaded:SIGKILL', SYNC_CONCURRENCY: '1' }
    const killed = await service.run(['sync', '--once'], halt)
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    const setStatus = (status: string) =>
      service.sql`update media set status = ${status} where id in (1, 3)`
    await setStatus('pending')
    await service.expireLeases()
    const next = await service.run(['sync', '--once'])
    assert.equal(next.code, 0, story(next))
    const open = await service.sql`
      select media_id, state from strongroom.items where media_id in (1, 3) order by media_id`
    assert.deepEqual(
      [...open],
      [1, 3].map((media_id) => ({ media_id, state: 'withdrawn' })),
    )

    await setStatus('approved')
    const last = await service.run(['sync', '--once'])
    assert.equal(last.code, 0, story(last))
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
  for (const point of ['downloaded', 'intent-committed', 'file-linked', 'source-seen']) {
    test(`a worker killed at its second "${point}" loses nothing either`, (t) =>
      crashAt(t, `${point}:SIGKILL:2`))
  }
})
