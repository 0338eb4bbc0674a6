import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { type Service, story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

async function archiveOne(service: Service): Promise<string> {
  await service.approve(1)
  const synced = await service.run(['sync', '--once'])
  assert.equal(synced.code, 0, story(synced))
  const [item] = await service.sql<{ archive_path: string }[]>`
    select archive_path from strongroom.items`
  return item?.archive_path ?? ''
}

async function statusOf(url: string): Promise<number> {
  const answer = await fetch(url)
  await answer.arrayBuffer()
  return answer.status
}

/** Asks until the answer is `status`: a server hears of a revocation a moment later. */
async function becomes(url: string, status: number): Promise<void> {
  while ((await statusOf(url)) !== status) await setImmediate()
}

test('a revoked link is refused by the servers of its database, those too that start later', async (t) => {
  const service = await withService(t)
  const path = await archiveOne(service)
  const env = { ...service.env, UNRAID_TUNNEL_SECRET: secret }
  const program = startTalking(t, ['start', '--role', 'serve'], env)
  const port = await program.port('serve')

  const minted = await service.run(['token', '--media', '1'], { ...env, SERVER_PORT: String(port) })
  assert.equal(minted.code, 0, story(minted))
  const link = minted.stdout.trim()
  const foreign = tokenFor(secret, { media_id: 1 })
  const other = fileUrl(port, path, foreign)
  assert.deepEqual([await statusOf(link), await statusOf(other)], [200, 200])

  const revoked = await service.run(['token', 'revoke', link], env)
  assert.equal(revoked.code, 0, story(revoked))
  assert.match(revoked.stdout, /^every token with the jti [\da-f-]{36} is revoked/)
  await becomes(link, 410)
  assert.equal(await statusOf(other), 200)

  const byItself = await service.run(['token', 'revoke', foreign], env)
  assert.match(byItself.stdout, /^the token is revoked/)
  await becomes(other, 410)

  const later = startTalking(t, ['start', '--role', 'serve'], env)
  const laterPort = await later.port('serve')
  assert.equal(await statusOf(fileUrl(laterPort, path, foreign)), 410, 'from its first request')
  for (const each of [program, later]) {
    const ended = await each.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.doesNotMatch(ended.stdout, /"level":"(?:warn|error)"/)
    assert.equal(ended.stdout.includes(foreign), false)
  }
  const stored = await service.sql`select subject from strongroom.revocations`
  assert.equal(JSON.stringify(stored).includes(foreign.split('.')[2] ?? foreign), false)
})

test('what is no token of ours is not revoked, and a bare jti is, for ever or for as long as is said', async (t) => {
  const service = await withService(t)
  await service.migrate()
  const env = { UNRAID_TUNNEL_SECRET: secret }
  const run = (...args: string[]) => service.run(['token', 'revoke', ...args], env)
  const forged = await run(tokenFor('another secret', { media_id: 1 }))
  assert.equal(forged.code, 1, story(forged))
  assert.match(forged.stderr, /none of the configured secrets signed this token/)
  const expired = await run(tokenFor(secret, { media_id: 1, exp: 1_000_000_000 }))
  assert.equal(expired.code, 0, story(expired))
  assert.match(expired.stdout, /^nothing to revoke: the token has expired/)
  const good = tokenFor(secret, { media_id: 1, jti: 'good' })
  const mangled = [
    `${good}.`,
    good.slice(0, 50),
    good.slice(0, -50),
    good.slice(7),
    `?token=${good}`,
  ]
  const links = ['https://media.example.org/f.mp4', 'http://x/?token=x', `media/?token=${good}`]
  for (const wrong of ['a\nb', ...links, ...mangled]) {
    const refused = await run(wrong)
    assert.equal(refused.code, 64, `${wrong}: ${story(refused)}`)
    assert.doesNotMatch(refused.stdout + refused.stderr, /eyJ/, 'what opens a file is not repeated')
  }
  assert.deepEqual(Array.from(await service.sql`select from strongroom.revocations`), [])
  for (const args of [['a jti'], ['another', '--keep', '1h']])
    assert.equal((await run(...args)).code, 0)
  const entered = await service.sql`
    select actor, details->>'subject' as subject, details->>'keepSeconds' as keep
    from strongroom.admin_actions where action = 'revoke' and details->>'revoked' = 'true' order by id`
  assert.deepEqual(
    [...entered],
    [
      { actor: 'command', subject: 'jti:a jti', keep: null },
      { actor: 'command', subject: 'jti:another', keep: '3600' },
    ],
  )
  const told = JSON.stringify(await service.sql`select * from strongroom.admin_actions`)
  assert.doesNotMatch(told, /eyJ/, 'what opens a file is entered nowhere')
  const rows = await service.sql`
    select subject, extract(epoch from expires_at - now())::float8 as rest from strongroom.revocations order by id`
  assert.deepEqual(
    rows.map(({ subject }) => subject),
    ['jti:a jti', 'jti:another'],
  )
  assert.equal(rows[0]?.rest, null)
  assert.ok(Math.abs(Number(rows[1]?.rest) - 3_600) < 300)
})

test('a jti stays revoked until the last token that has it is over', async (t) => {
  const service = await withService(t)
  await service.migrate()
  const exp = Math.floor(Date.now() / 1000) + 600
  for (const token of [
    tokenFor(secret, { media_id: 1, exp, jti: 'of several' }),
    tokenFor(secret, { media_id: 1, exp }),
  ]) {
    const ended = await service.run(['token', 'revoke', token], { UNRAID_TUNNEL_SECRET: secret })
    assert.equal(ended.code, 0, story(ended))
  }
  const rows = await service.sql`
    select extract(epoch from expires_at - now())::float8 as rest from strongroom.revocations order by id`
  const [several, single] = rows.map(({ rest }) => Number(rest))
  assert.ok(Math.abs(Number(several) - 7 * 86_400) < 300, 'TOKEN_MAX_TTL from now')
  assert.ok(Math.abs(Number(single) - 600) < 300)
})

test('token without a media id says what is missing', async (t) => {
  const service = await withService(t)
  const ended = await service.run(['token'], { UNRAID_TUNNEL_SECRET: secret })
  assert.equal(ended.code, 64, story(ended))
  assert.match(
    ended.stderr,
    /strongroom: one of the options '--media <id>' and '--file <path>' is needed/,
  )
})
