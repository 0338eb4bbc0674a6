import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import type { DatabaseConfig } from '../../src/config.ts'
import { type Database, openDatabase, type Sql } from '../../src/db/connect.ts'
import { type ErrorCode, isAppError } from '../../src/errors.ts'
import {
  postgresFromEnvironment,
  type RunningPostgres,
  startPostgres,
  type TestSql,
  withDatabase,
} from '../support/postgres.ts'
import { type Sent, withPostgresProxy } from '../support/postgres-proxy.ts'
import { hasCode } from '../support/scopes.ts'

type Change = Partial<DatabaseConfig>

/** Long enough to connect on a busy machine, and far below any time-out of the server's or the kernel's. */
const DEADLINE_MS = 2_000

interface Rig {
  config: DatabaseConfig
  sql: TestSql
  open(change?: Change, options?: { deadlineMs?: number }): Database
}

async function withRig(t: TestContext): Promise<Rig> {
  const { config, sql } = await withDatabase(t)
  const open: Rig['open'] = (change, options) => {
    const database = openDatabase({ ...config, ...change }, options)
    t.after(() => database.close())
    return database
  }
  return { config, sql, open }
}

const one = (database: Database) =>
  database.run((sql) => sql<{ answer: number }[]>`select 1 as answer`)

/** The port of a server that treats each connection as told. */
async function listening(t: TestContext, greet: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    t.after(() => socket.destroy())
    // A client that gives up resets; it is the client's view that counts.
    socket.on('error', () => {})
    greet(socket)
  })
  t.after(() => server.close())
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })
}

/** Ends the backend that sleeps in a statement, once it does. @param call it has taken so many numbers from `calls` */
async function killSleeper(sql: TestSql, call: number): Promise<void> {
  for (;;) {
    const killed = await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and wait_event = 'PgSleep'
        and (select last_value from calls where is_called) = ${call}`
    if (killed.length > 0) return
  }
}

/** Sleeps until it is called for the third time. */
const sleepTwice = (sql: Sql) => sql<{ call: string }[]>`
  select nextval('calls') as call, case when currval('calls') < 3 then pg_sleep(600) end as slept`

async function assertAnswers(database: Database): Promise<void> {
  assert.deepEqual([...(await one(database))], [{ answer: 1 }])
}

describe('a database that cannot be used', { concurrency: true }, () => {
  const wrong: { what: string; change: Change; code: ErrorCode; says: RegExp }[] = [
    {
      what: 'a wrong password',
      change: { password: 'wrong' },
      code: 'DB_AUTH',
      says: /^the database at 127.0.0.1:\d+ refuses user "strongroom": password authentication failed/,
    },
    {
      what: 'no password',
      change: { password: null },
      code: 'DB_AUTH',
      says: /refuses user "strongroom"/,
    },
    {
      what: 'an unknown database',
      change: { database: 'nowhere' },
      code: 'DB_SCHEMA',
      says: /^there is no database "nowhere" at 127.0.0.1:\d+$/,
    },
    {
      what: 'a port that nobody listens on',
      change: { port: 9 },
      code: 'DB_UNAVAILABLE',
      says: /^the database at 127.0.0.1:9 cannot be reached \(ECONNREFUSED\)$/,
    },
    {
      what: 'a host that has no address',
      change: { host: 'no.such.host.invalid' },
      code: 'DB_UNAVAILABLE',
      says: /^the database at no.such.host.invalid:\d+ cannot be reached/,
    },
    {
      what: 'a socket that is not there',
      change: { host: '/nowhere' },
      code: 'DB_UNAVAILABLE',
      says: /cannot be reached \(ENOENT\)$/,
    },
    ...(['require', 'verify-full'] as const).map((ssl) => ({
      what: `TLS that is demanded (${ssl}) and not offered`,
      change: { ssl },
      code: 'DB_UNAVAILABLE' as const,
      says: /^the database at 127.0.0.1:\d+ ended the TLS handshake$/,
    })),
  ]
  for (const { what, change, code, says } of wrong) {
    test(`${what} is one ${code}, the second time too`, async (t) => {
      const config = { ...postgresFromEnvironment(), database: 'postgres', ssl: 'disable' } as const
      const database = openDatabase({ ...config, pooler: false, ...change })
      t.after(() => database.close())
      for (let tries = 1; tries <= 2; tries++)
        await assert.rejects(one(database), hasCode(code, says))
    })
  }

  test('a role that may not log in, or has no connection left, is told so', async (t) => {
    const { config, sql, open } = await withRig(t)
    const role = `guest_${config.database}`
    await sql.unsafe(`create role ${role} nologin password 'guest'`)
    const guest = { user: role, password: 'guest' }
    await assert.rejects(one(open(guest)), hasCode('DB_AUTH', /is not permitted to log in/))
    await sql.unsafe(`alter role ${role} login connection limit 0`)
    await assert.rejects(one(open(guest)), hasCode('DB_UNAVAILABLE', /too many|53300/))
    await sql.unsafe(`drop role ${role}`)
  })

  for (const { what, answer } of [
    { what: 'resets the connection', answer: (socket: Socket) => void socket.resetAndDestroy() },
    { what: 'closes it', answer: (socket: Socket) => void socket.end() },
    {
      what: 'answers in plain words',
      answer: (socket: Socket) => void socket.end('E\0\0\0\x10SFATAL\0'),
    },
  ])
    test(`a server without TLS that ${what} where TLS is demanded is told by the setting`, async (t) => {
      const { open } = await withRig(t)
      const port = await listening(t, (socket) => {
        // The request for TLS is refused; what comes next is a handshake that the server cannot read.
        socket.once('data', () => {
          socket.write('N')
          socket.once('data', () => answer(socket))
        })
      })
      for (const ssl of ['require', 'verify-full'] as const)
        await assert.rejects(
          one(open({ port, ssl })),
          (error) =>
            isAppError(error, 'DB_UNAVAILABLE', 'DB_UNKNOWN') &&
            error.hint ===
              `DB_SSLMODE=${ssl} demands TLS: turn it on in PostgreSQL, or set DB_SSLMODE=prefer`,
        )
    })

  test('a server that ends a connection which needs TLS before it says anything is told by both settings', async (t) => {
    const { open } = await withRig(t)
    const port = await listening(t, (socket) => void socket.once('data', () => socket.end()))
    await assert.rejects(
      one(open({ port, ssl: 'require' }, { deadlineMs: 200 })),
      (error) => isAppError(error) && /DB_HOST.*DB_SSLMODE=require demands TLS/.test(error.hint),
    )
  })

  test('an address that swallows the connection is told by DB_HOST', async (t) => {
    const { open } = await withRig(t)
    const port = await listening(t, () => {})
    await assert.rejects(
      one(open({ port }, { deadlineMs: 200 })),
      (error) =>
        isAppError(error, 'DB_UNKNOWN') &&
        error.message === `the database at 127.0.0.1:${port} gave no answer within 200 ms` &&
        error.hint.startsWith('check DB_HOST and DB_PORT'),
    )
  })

  test('a server that takes the connection and says nothing counts as not reached', async (t) => {
    const { open } = await withRig(t)
    const port = await listening(t, () => {})
    await assert.rejects(one(open({ port })), hasCode('DB_UNAVAILABLE', /CONNECT_TIMEOUT/))
  })
})

describe('a server that offers TLS', () => {
  let server: RunningPostgres
  before(async () => {
    server = await startPostgres()
  })
  after(() => server.stop())

  async function withTls(t: TestContext) {
    const { config, sql } = await withDatabase(t, server)
    // The server's own hands: the key must be readable for the user that it runs as, and for nobody else.
    const makeCertificate =
      'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost ' +
      '-addext subjectAltName=DNS:localhost -keyout server.key -out server.crt 2>&1 > /dev/null'
    await sql.unsafe(`copy (select 1) to program '${makeCertificate}'`)
    await sql`alter system set ssl = on`
    await sql`select pg_reload_conf()`
    const [row] = await sql<{ certificate: string }[]>`
      select pg_read_file('server.crt') as certificate`
    const open = (change: Change) => {
      const database = openDatabase({ ...config, ...change })
      t.after(() => database.close())
      return database
    }
    while (!(await encrypted(open({ ssl: 'prefer' }))));
    return { open, certificate: row?.certificate ?? '' }
  }

  async function encrypted(database: Database): Promise<boolean> {
    const [row] = await database.run(
      (sql) => sql<{ ssl: boolean }[]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`,
    )
    return row?.ssl === true
  }

  test('is asked to encrypt unless told not to, and its certificate is checked only if that is wanted', async (t) => {
    const { open, certificate } = await withTls(t)
    assert.equal(await encrypted(open({ ssl: 'disable' })), false)
    assert.equal(await encrypted(open({ ssl: 'require' })), true)
    const checked = { ssl: 'verify-full', host: 'localhost' } as const
    await assert.rejects(one(open(checked)), hasCode('DB_AUTH', /self-signed certificate/))

    const known = tls.getCACertificates('default')
    tls.setDefaultCACertificates([...known, certificate])
    t.after(() => tls.setDefaultCACertificates(known))
    assert.equal(await encrypted(open(checked)), true)
    const elsewhere = { ssl: 'verify-full', host: '127.0.0.1' } as const
    await assert.rejects(
      one(open(elsewhere)),
      hasCode('DB_AUTH', /127\.0\.0\.1 is not in the cert/),
    )
  })
})

describe('an answer that does not come', () => {
  test('a backend that is killed in the middle leaves the outcome unknown, and the next statement works', async (t) => {
    const { sql, open } = await withRig(t)
    await sql`create sequence calls`
    const database = open()
    const lost = assert.rejects(
      database.run(sleepTwice),
      hasCode('DB_UNKNOWN', /^the connection to the database at 127.0.0.1:\d+ was lost$/),
    )
    await killSleeper(sql, 1)
    await lost
    await assertAnswers(database)
  })

  test('a statement that may be repeated is, until the database has spoken', async (t) => {
    const { sql, open } = await withRig(t)
    await sql`create sequence calls`
    const settled = open().settle(sleepTwice)
    for (const call of [1, 2]) await killSleeper(sql, call)
    assert.equal((await settled)[0]?.call, '3')
  })

  test('a rehearsal whose backend is killed ends, and the next statement works', async (t) => {
    const { sql, open } = await withRig(t)
    await sql`create sequence calls`
    const database = open()
    const lost = assert.rejects(
      database.rehearse(({ run }) => run(sleepTwice)),
      hasCode('DB_UNKNOWN'),
    )
    await killSleeper(sql, 1)
    await lost
    await assertAnswers(database)
  })

  test('a connection that goes silent ends at the deadline, by itself, and a new one takes over', async (t) => {
    const { config, open } = await withRig(t)
    const proxy = await withPostgresProxy(t, config)
    const database = open({ port: proxy.port }, { deadlineMs: DEADLINE_MS })
    await assertAnswers(database)
    proxy.mute()
    const silent = one(database)
    await assert.rejects(
      silent,
      hasCode('DB_UNKNOWN', /^the database gave no answer within 2000 ms$/),
    )
    assert.equal(proxy.sent.length, 1, 'nothing else had ended the connection')
    await assertAnswers(database)
    assert.equal(proxy.sent.length, 2)
    await database.close()
    await proxy.empty()
  })

  test('a silent connection is asked about again by what may be repeated', async (t) => {
    const { config, open } = await withRig(t)
    const proxy = await withPostgresProxy(t, config)
    const database = open({ port: proxy.port }, { deadlineMs: DEADLINE_MS })
    await assertAnswers(database)
    proxy.mute()
    const rows = await database.settle((sql) => sql<{ answer: number }[]>`select 2 as answer`)
    assert.deepEqual([...rows], [{ answer: 2 }])
  })

  test('what may be repeated is given up after its time', async (t) => {
    const { open } = await withRig(t)
    const database = open()
    await assertAnswers(database)
    await assert.rejects(
      database.settle((sql) => sql`do 'begin raise query_canceled; end'`, 0),
      hasCode('DB_UNAVAILABLE'),
    )
  })

  test('there is nothing to settle with a database that has never been reached', async (t) => {
    const { open } = await withRig(t)
    const began = performance.now()
    const refused = hasCode('DB_UNAVAILABLE', /cannot be reached/)
    await assert.rejects(
      open({ port: 9 }).settle((sql) => sql`select 1`),
      refused,
    )
    assert.ok(performance.now() - began < 20_000)
  })
})

describe('what the server says', () => {
  const codes: Record<string, ErrorCode> = {
    '23505': 'DB_DUPLICATE',
    '42501': 'DB_DENIED',
    '25006': 'DB_DENIED',
    '42P01': 'DB_SCHEMA',
    '42703': 'DB_SCHEMA',
    '22P02': 'DB_SCHEMA',
    '23502': 'DB_SCHEMA',
    '57014': 'DB_UNAVAILABLE',
    '55P03': 'DB_UNAVAILABLE',
    '57P03': 'DB_UNAVAILABLE',
    '57P01': 'DB_UNKNOWN',
    '08006': 'DB_UNKNOWN',
    '40001': 'DB_CONFLICT',
    '40P01': 'DB_CONFLICT',
    '23514': 'ROW_REFUSED',
    P0001: 'ROW_REFUSED',
  }
  test('is translated once, by its SQLSTATE', async (t) => {
    const database = (await withRig(t)).open()
    for (const [sqlstate, code] of Object.entries(codes)) {
      const raised = database.run((sql) =>
        sql.unsafe(`do $$ begin raise exception 'so it is' using errcode = '${sqlstate}'; end $$`),
      )
      await assert.rejects(raised, hasCode(code), sqlstate)
    }
  })

  test('a conflict is tried again eight times in all', async (t) => {
    const { sql, open } = await withRig(t)
    await sql`create sequence calls`
    await sql.unsafe(`
      create function collide(until int) returns bigint language plpgsql as $$ begin
        if nextval('calls') < until then raise exception 'collided' using errcode = '40001'; end if;
        return currval('calls');
      end $$`)
    const database = open()
    const collide = (until: number) =>
      database.run((inside) => inside<{ call: string }[]>`select collide(${until}::int) as call`)
    assert.equal((await collide(8))[0]?.call, '8')
    await assert.rejects(collide(100), hasCode('DB_CONFLICT', /collided/))
    const [last] = await sql`select last_value from calls`
    assert.equal(last?.last_value, 16)
  })

  test('what is no answer of the server at all is a bug, not an outage', async (t) => {
    const database = (await withRig(t)).open()
    const undefinedValue = database.run((sql) => sql`select ${undefined as unknown as string}`)
    await assert.rejects(undefinedValue, hasCode('INTERNAL'))
    await assertAnswers(database)
  })
})

test('a script may take longer than any statement: a migration of a large table does', async (t) => {
  const { config, sql, open } = await withRig(t)
  const role = `hasty_${config.database}`
  await sql.unsafe(
    `create role ${role} login password 'p'; alter role ${role} set statement_timeout = '50ms'`,
  )
  // Behind a pooler the role's own settings hold.
  const database = open({ user: role, password: 'p', pooler: true })
  const slow = `do $$ begin perform pg_sleep(0.2); end $$`
  await assert.rejects(
    database.run((one) => one.unsafe(slow)),
    hasCode('DB_UNAVAILABLE'),
  )
  await database.script(slow)
  await assert.rejects(
    database.run((one) => one.unsafe(slow)),
    hasCode('DB_UNAVAILABLE'),
  )
  await database.close()
  await sql.unsafe(`drop role ${role}`)
})

describe('a pooler between', () => {
  /** Sends each statement twice, so that it would be prepared under a name if any were. @returns what each connection sent */
  async function sentBy(t: TestContext, pooler: boolean): Promise<Sent[][]> {
    const { config, open } = await withRig(t)
    const proxy = await withPostgresProxy(t, config)
    const database = open({ port: proxy.port, pooler })
    for (let n = 0; n < 2; n++) {
      await database.run((sql) => sql`select ${n}::int as n, ${'text'}::text as text`)
      await database.run((sql) => sql`select 1`)
      await database.script('select 1; select 2')
    }
    await database.rehearse(({ run }) => run((sql) => sql`select ${1}::int as n`))
    assert.equal(proxy.sent.length, 2, 'the rehearsal has a connection of its own')
    return proxy.sent
  }

  const settingsOf = ([startup]: Sent[]) => startup?.body.toString('latin1') ?? ''
  const namesIn = (sent: Sent[][]) =>
    sent.flat().flatMap(({ type, body }) => {
      return type === 'P' ? [body.toString('latin1').split('\0')[0]] : []
    })

  test('gets no named statement and no time-out, which the next client of its connection would meet', async (t) => {
    const sent = await sentBy(t, true)
    const names = namesIn(sent)
    assert.ok(names.length >= 5)
    assert.deepEqual([...new Set(names)], [''])
    for (const connection of sent) {
      assert.doesNotMatch(settingsOf(connection), /timeout|jit/)
      assert.match(settingsOf(connection), /application_name\0strongroom\0/)
    }
  })

  test('never sees a statement end between its parse and its execution, where it may change the backend', async (t) => {
    for (const connection of await sentBy(t, true)) {
      const types = connection.map(({ type }) => type).join('')
      assert.match(types, /P/)
      assert.doesNotMatch(types, /P[^E]*S/, types)
    }
  })

  test('is no matter otherwise: statements are prepared and never compiled, and the server knows our time-outs', async (t) => {
    const sent = await sentBy(t, false)
    assert.ok(namesIn(sent).some((name) => name !== ''))
    for (const connection of sent)
      assert.match(
        settingsOf(connection),
        /statement_timeout\W+10000\W+lock_timeout\W+5000\W+jit\W+off/,
      )
  })
})
