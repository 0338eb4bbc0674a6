import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withArchived } from '../support/archived.ts'
import { photograph } from '../support/checker.ts'
import { story } from '../support/service.ts'

const secret = { UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234' }

test('an older version refuses a newer schema, and yet pauses releases', async (t) => {
  const { service } = await withArchived(t, 1)
  const { sql } = service
  await sql`insert into strongroom.migrations (name) values ('9999_of_tomorrow.sql')`
  const before = await photograph(service)
  for (const args of [
    ['sync', '--once'],
    ['fsck'],
    ['verify'],
    ['release', 'resume'],
    ['release', 'status'],
    ['token', '--media', '1'],
    ['token', 'revoke', 'a-jti'],
    ['accept-volume'],
  ]) {
    const ended = await service.run(args, { ...secret, MIGRATE_ON_START: 'false' })
    assert.equal(ended.code, 78, `${args}: ${story(ended)}`)
    assert.match(ended.stderr, /belongs to a newer version, which applied 9999_of_tomorrow\.sql/)
  }
  assert.deepEqual(await photograph(service), before)
  const [counted] = await sql`
    select (select count(*) from strongroom.revocations) + (select count(*) from strongroom.runs where job = 'verify') as count`
  assert.equal(Number(counted?.count), 0)
  await sql`alter table strongroom.items rename to things`
  const paused = await service.run(['release', 'pause'])
  assert.equal(paused.code, 0, story(paused))
  assert.match(paused.stdout, /^releases are paused since /)
  assert.match(paused.stderr, /^strongroom: the items could not be counted: /m)
})
