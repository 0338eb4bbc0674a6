import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { withFileServer } from '../support/file-server.ts'
import { forge, good, hostile, now, tokens } from '../support/hostile-tokens.ts'
import { openPipeline } from '../support/pipeline.ts'

const atNow = { tokens, now: () => now }

test('no hostile token opens a file, in the link or as a bearer, and all are told the same', async () => {
  await withFileServer(atNow, async ({ file, ask, listening, log }) => {
    await file('f.mp4', 'bytes', { media_id: 7 })
    assert.equal((await ask(`/f.mp4?token=${good}`)).status, 200)
    assert.equal((await ask('/f.mp4')).status, 401)
    const pipeline = await openPipeline(listening.port)
    const names = Object.keys(hostile)
    assert.ok(names.length >= 80)
    const targets = Object.values(hostile).map(
      (token) => `/f.mp4?token=${encodeURIComponent(token)}`,
    )
    const [none, ...answers] = await pipeline.ask('GET', ['/f.mp4', ...targets])
    for (const [index, answer] of answers.entries()) assert.deepEqual(answer, none, names[index])
    pipeline.close()
    for (const [name, token] of Object.entries(hostile)) {
      // A header can say nothing else, and blanks around it are no part of it (RFC 9110 5.5).
      if (!/^[\x21-\x7e]+$/.test(token)) continue
      const answer = await ask('/f.mp4', { headers: { authorization: `Bearer ${token}` } })
      assert.equal(answer.status, 401, name)
      assert.equal(answer.body.toString('latin1'), none?.body, name)
    }
    for (const token of Object.values(hostile))
      assert.equal(token.length > 20 && log.text().includes(token), false)
  })
})

test('a token of a megabyte is refused before it is looked at', async () => {
  await withFileServer(atNow, async ({ ask }) => {
    const pad = 'x'.repeat(1_000_000)
    const huge = forge({ alg: 'HS256' }, { media_id: 7, user_id: 9, pad })
    for (const token of [huge, pad, '.'.repeat(1_000_000)]) {
      assert.equal((await ask(`/f.mp4?token=${token}`)).status, 414)
      assert.equal(
        (await ask('/f.mp4', { headers: { authorization: `Bearer ${token}` } })).status,
        431,
      )
      assert.equal((await ask(`/f.mp4?token=${token.slice(0, 9_000)}`)).status, 414)
      assert.equal((await ask(`/f.mp4?token=${token.slice(0, 8_000)}`)).status, 401)
    }
  })
})

test('of 200 tokens and 200 files each token opens its own file and no other', async () => {
  await withFileServer({}, async ({ file, token, listening }) => {
    const ids = Array.from({ length: 200 }, (_, index) => index + 1)
    const tokens: string[] = []
    for (const id of ids) {
      await file(`${id}.mp4`, `file ${id}`, { media_id: id })
      tokens.push(await token(id))
    }
    const waiting = [...ids]
    const askForAll = async () => {
      const pipeline = await openPipeline(listening.port)
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        const answers = await pipeline.ask(
          'HEAD',
          tokens.map((token) => `/${id}.mp4?token=${token}`),
        )
        assert.deepEqual(
          answers.map(({ status }) => status),
          ids.map((owner) => (owner === id ? 200 : 403)),
          `file ${id}`,
        )
      }
      pipeline.close()
    }
    await Promise.all([1, 2, 3, 4].map(askForAll))
  })
})

test('the log says in one word why a token was refused, and the visitor is not told', async () => {
  const strict = { ...tokens, audience: 'files', issuer: 'backend' }
  await withFileServer({ tokens: strict, now: () => now }, async ({ ask, log }) => {
    const seconds = now.getTime() / 1000
    const claims = { media_id: 7, user_id: 9, exp: seconds + 60, aud: 'files', iss: 'backend' }
    const token = (change: object) => forge({ alg: 'HS256' }, { ...claims, ...change })
    const cases: [reason: string, token: string | null][] = [
      ['missing', null],
      ['malformed', 'x'],
      ['malformed', forge({ alg: 'HS256' }, '{"exp":1,"exp":1}')],
      ['header', forge({ alg: 'none' }, claims)],
      ['header', forge({ alg: 'HS256', crit: ['x'] }, claims)],
      ['signature', forge({ alg: 'HS256' }, claims, { key: 'another' })],
      ['expired', token({ exp: seconds })],
      ['expired', token({ exp: seconds - 3600 })],
      ['not_yet_valid', token({ nbf: seconds + 31 })],
      ['not_yet_valid', token({ iat: seconds + 31 })],
      ['lifetime', token({ exp: seconds + 8 * 86_400 })],
      ['lifetime', token({ iat: seconds - 7 * 86_400 })],
      ['claims', token({ media_id: '7' })],
      ['claims', token({ exp: 'soon' })],
      ['audience', token({ aud: 'other' })],
      ['audience', token({ aud: undefined })],
      ['issuer', token({ iss: 'other' })],
    ]
    for (const [, token] of cases) {
      const { status, body } = await ask(token === null ? '/f.mp4' : `/f.mp4?token=${token}`)
      assert.equal(status, 401)
      assert.deepEqual(JSON.parse(body.toString()), {
        error: 'TOKEN_INVALID',
        message: 'A valid token is needed.',
      })
    }
    const lines = await log.requests(cases.length)
    assert.deepEqual(
      lines.map(({ fields }) => fields.reason),
      cases.map(([reason]) => reason),
    )
  })
})

test('a download that outlives its token is finished, and a new one is not begun', async () => {
  let at = now
  await withFileServer({ tokens, now: () => at }, async ({ file, ask, listening }) => {
    const size = 64 * 1024 * 1024
    await file('f.mp4', size, { media_id: 7 })
    const path = `/f.mp4?token=${good}`
    const request = get({ host: '127.0.0.1', port: listening.port, path, agent: false })
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    assert.equal(answer.statusCode, 200)
    at = new Date(now.getTime() + 60_000)
    assert.equal((await ask(path)).status, 401, 'although it was believed a moment before')
    let bytes = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length
    assert.equal(bytes, size)
  })
})
