import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { violations } from '../support/checker.ts'
import { type RunningPostgres, startPostgres } from '../support/postgres.ts'
import { type Ended, type Service, story, withService } from '../support/service.ts'

const ONCE = ['sync', '--once', '--json']
/** The database was away for longer than a statement is repeated: the run ends, and may be started again at once. */
const EXIT_UNAVAILABLE = 69
const ITEMS = 200
/** So many changes of items lie between two faults. Some are not seen, because the listener dies too. */
const KILL_EVERY = 7
const CRASH_EVERY = 120

/** Each change of an item is told to whoever listens, at the very moment its answer is on the way to the program. */
async function tellChanges({ sql }: Service): Promise<void> {
  await sql.unsafe(`
    create function tell() returns trigger language plpgsql as $$ begin
      perform pg_notify('items', new.state);
      return null;
    end $$;
    create trigger tell after insert or update of state on strongroom.items for each row execute function tell()`)
}

/** A backend that dies inside a statement, before it is committed. @param every one in so many changes */
async function dieInside({ sql }: Service, every: number): Promise<void> {
  await sql.unsafe(`
    create sequence changes;
    create function die() returns trigger language plpgsql as $$ begin
      if nextval('changes') % ${every} = 0 then
        perform pg_terminate_backend(pg_backend_pid());
        perform pg_sleep(0); -- dies here
      end if;
      return null;
    end $$;
    create trigger die after insert or update of state on strongroom.items for each row execute function die()`)
}

/** Runs until a run ends well. Nothing but success and "the database was away" is acceptable. */
async function runUntilDone(service: Service): Promise<Ended[]> {
  const runs: Ended[] = []
  for (let n = 0; n < 10; n++) {
    const ended = await service.run(ONCE)
    runs.push(ended)
    if (ended.code === 0) return runs
    assert.equal(ended.code, EXIT_UNAVAILABLE, story(ended))
    await service.expireLeases()
  }
  assert.fail(`not done after ${runs.length} runs: ${runs.map(story).join('\n')}`)
}

describe('a database that fails under a sync', () => {
  let server: RunningPostgres
  before(async () => {
    server = await startPostgres()
  })
  after(() => server.stop())

  async function withItems(t: TestContext): Promise<Service> {
    const service = await withService(t, { server, env: { SYNC_CONCURRENCY: '8' } })
    await service.migrate()
    await service.approve(ITEMS)
    return service
  }

  test(`${ITEMS} items are archived once each while backends are killed and the server crashes`, async (t) => {
    const service = await withItems(t)
    const { sql } = service
    await tellChanges(service)
    await dieInside(service, 97)
    const count = { changes: 0, killed: 0, crashes: 0 }
    let crash: Promise<void> | null = null
    const killOne = () =>
      sql`
        select pg_terminate_backend(pid) from (select pid from pg_stat_activity
          where application_name = 'strongroom' order by random() limit 1) victims`.then(
        (rows) => {
          count.killed += rows.length
        },
        () => {}, // the server itself is away just now
      )
    const onChange = () => {
      count.changes += 1
      if (count.changes % CRASH_EVERY === 0) {
        count.crashes += 1
        crash ??= server.restart('immediate').finally(() => {
          crash = null
        })
      } else if (count.changes % KILL_EVERY === 0) void killOne()
    }
    const ear = await sql.listen('items', onChange)
    const runs = await runUntilDone(service)
    await ear.unlisten()
    await crash

    t.diagnostic(`${JSON.stringify(count)} in ${runs.length} runs`)
    assert.ok(count.killed >= 10 && count.crashes >= 2, `too few faults: ${JSON.stringify(count)}`)
    assert.deepEqual(await violations(service, { converged: true }), [])
    const [row] = await sql`select count(*) from media where status = 'archived'`
    assert.equal(row?.count, ITEMS)
  })

  test('a database that is not there ends a run with one sentence, and costs nothing', async (t) => {
    const service = await withService(t, { server })
    await service.approve(3)
    const ended = await service.run(ONCE, { DB_PORT: '9' })
    assert.equal(ended.code, EXIT_UNAVAILABLE, story(ended))
    assert.match(ended.stderr, /strongroom: the database at 127\.0\.0\.1:9 cannot be reached/)
    assert.equal((await service.run(ONCE)).code, 0)
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
})
