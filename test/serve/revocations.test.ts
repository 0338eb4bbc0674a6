import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { createRevokedTokens, subjectOf, subjectOfJti } from '../../src/serve/revocations.ts'
import { captureLog, withFileServer } from '../support/file-server.ts'
import { claims, forge, good, now, tokens } from '../support/hostile-tokens.ts'

/** A list that tests change, and the memory of it. */
function withList() {
  const list = { subjects: [] as string[], stamp: '' }
  const log = captureLog()
  const failure: { error: Error | null } = { error: null }
  const revoked = createRevokedTokens({
    log,
    async read(stamp) {
      if (failure.error) throw failure.error
      return stamp === list.stamp ? null : { ...list, subjects: [...list.subjects] }
    },
  })
  const revoke = async (...subjects: string[]) => {
    list.subjects.push(...subjects)
    list.stamp += '.'
    await revoked.refresh()
  }
  return { revoked, revoke, failure, log }
}

const named = (jti: string, more: object = {}) =>
  forge({ alg: 'HS256' }, { ...claims, jti, ...more })

test('a revoked token is told that it is over, and others of the same file go on working', async () => {
  const { revoked, revoke } = withList()
  await withFileServer({ tokens, now: () => now, revoked }, async ({ file, ask, log }) => {
    await file('f.mp4', 'bytes', { media_id: 7 })
    const statusOf = async (token: string) => (await ask(`/f.mp4?token=${token}`)).status
    assert.deepEqual([await statusOf(good), await statusOf(named('a'))], [200, 200])
    await revoke(subjectOfJti('a'))
    assert.equal(await statusOf(named('a')), 410)
    assert.equal(await statusOf(named('a', { user_id: 10 })), 410, 'all of one jti are meant')
    assert.deepEqual([await statusOf(good), await statusOf(named('b'))], [200, 200])
    await revoke(subjectOf(good, null))
    assert.equal(await statusOf(good), 410)
    assert.equal(await statusOf(forge({ alg: 'HS256' }, { ...claims, user_id: 10 })), 200)
    const answer = await ask(`/f.mp4?token=${good}`)
    assert.deepEqual(JSON.parse(answer.body.toString()), {
      error: 'TOKEN_ENDED',
      message: 'The link is no longer valid.',
    })
    assert.equal(answer.headers['cache-control'], 'no-store')
    const lines = await log.requests(9)
    assert.equal(lines.at(-1)?.fields.reason, 'revoked')
    assert.equal(lines[1]?.fields.jti, 'a')
  })
})

test('whether a token was revoked is told to nobody who could not use it otherwise', async () => {
  const { revoked, revoke } = withList()
  await revoke(subjectOfJti('a'))
  await withFileServer({ tokens, now: () => now, revoked }, async ({ ask }) => {
    for (const token of [
      forge({ alg: 'HS256' }, { ...claims, jti: 'a' }, { key: 'another' }),
      named('a', { exp: claims.exp - 60 }),
      named('a', { ip: '192.0.2.1' }),
    ])
      assert.equal((await ask(`/f.mp4?token=${token}`)).status, 401)
  })
})

test('a download that runs when its token is revoked is finished, and a new one is not begun', async () => {
  const { revoked, revoke } = withList()
  await withFileServer({ tokens, now: () => now, revoked }, async ({ file, ask, listening }) => {
    const size = 64 * 1024 * 1024
    await file('f.mp4', size, { media_id: 7 })
    const target = { host: '127.0.0.1', port: listening.port, path: `/f.mp4?token=${named('a')}` }
    const [answer] = (await once(get({ ...target, agent: false }), 'response')) as [IncomingMessage]
    assert.equal(answer.statusCode, 200)
    await revoke(subjectOfJti('a'))
    assert.equal((await ask(target.path)).status, 410)
    let bytes = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length
    assert.equal(bytes, size)
  })
})

test('while the list cannot be read, what was revoked stays so, and the log says it once', async () => {
  const { revoked, revoke, failure, log } = withList()
  await revoke(subjectOfJti('a'))
  failure.error = new AppError('DB_UNAVAILABLE', 'away')
  for (let count = 0; count < 3; count++) await revoke(subjectOfJti('b'))
  assert.deepEqual([revoked.has(good, 'a'), revoked.has(good, 'b')], [true, false])
  failure.error = null
  await revoke()
  assert.deepEqual([revoked.has(good, 'a'), revoked.has(good, 'b')], [true, true])
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['warn', 'info'],
  )
})

test('a database that was never migrated has revoked nothing, which is worth no line', async () => {
  const { revoked, revoke, failure, log } = withList()
  failure.error = new AppError('DB_SCHEMA', 'there is no schema')
  await revoke(subjectOfJti('a'))
  assert.equal(revoked.has(good, 'a'), false)
  assert.deepEqual(log.lines, [])
})
