import assert from 'node:assert/strict'
import { test } from 'node:test'
import { approveMedium } from '../support/media-rows.ts'
import { type Service, story, withService } from '../support/service.ts'

async function told(service: Service, ...args: string[]): Promise<string> {
  const ended = await service.run(args)
  assert.equal(ended.code, 0, story(ended))
  return ended.stdout
}

test('each medium answers in one line what happened, why, and what to do', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '24h' } })
  await service.approve(3, (n) => {
    if (n === 1) return { bytes: Buffer.from('no film at all') }
    return n === 2 ? 'no object' : undefined
  })
  const synced = await service.run(['sync', '--once'])
  assert.equal(synced.code, 75, story(synced))
  await service.approve(1)
  await service.sql`insert into media (id, status, object_key) values (5, 'pending', 'k')`
  const why = (id: number) => told(service, 'why', String(id))

  assert.match(await why(1), /^media 1: archived\. .* The source may go from \d{4}-.*Z on\.\n$/)
  assert.match(
    await why(2),
    /^media 2: rejected\. It is not valid media\. .*Reason: .+ \([A-Z_]+\)\./,
  )
  assert.match(await why(3), /^media 3: missing\. .*Next try \d{4}-.*Z\.\n$/)
  assert.match(await why(4), /^media 4: approved, and not begun yet\./)
  assert.match(await why(5), /^media 5: its media row has the status pending and has no time of/)
  for (let id = 1; id <= 5; id++) assert.equal((await why(id)).split('\n').length, 2)

  await service.sql`update media set status = 'approved', approved_at = now() where id = 2`
  assert.match(await why(2), /approved again since: the next run makes a new version\.\n$/)
  await service.sql`update media set deleted_at = now() where id = 4`
  assert.match(await why(4), /^media 4: its media row has the status approved and is deleted\.\n$/)
})

test('the proof of an archived medium is shown with its digests and times', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
  const [upload] = await service.approve(1)
  const synced = await service.run(['sync', '--once'])
  assert.equal(synced.code, 0, story(synced))

  const text = await told(service, 'show', '1')
  const [item] = await service.sql<{ archive_path: string; sha256: string; etag: string }[]>`
    select archive_path, sha256, etag from strongroom.items`
  assert.ok(item !== undefined && upload !== undefined)
  for (const fact of ['version 1: released', item.archive_path, item.sha256, item.etag])
    assert.ok(text.includes(fact), `${fact} is not in:\n${text}`)
  assert.match(text, /proof +md5 [\da-f]{32}\n/)
  assert.match(text, /source deleted +\d{4}-/)

  const shown = JSON.parse(await told(service, 'show', '1', '--json'))
  assert.equal(shown.items[0].sha256, item.sha256)
  const answered = JSON.parse(await told(service, 'why', '1', '--json'))
  assert.deepEqual([answered.media_id, answered.state], [1, 'released'])
})

test('an object key cannot steer the terminal of whoever asks for it, nor forge a line', async (t) => {
  const service = await withService(t)
  const key = 'a\u001b]0;title\u0007\u009b31m\u202e\nmedia 2: archived'
  await approveMedium(service, { key, uploaded: false })
  const commands = [
    ['sync', '--once', '--dry-run'],
    ['sync', '--once'],
    ['why', '1'],
    ['show', '1'],
  ]
  for (const args of [...commands, ['runs', 'show', '1'], ['show', '1', '--json']]) {
    const ended = await service.run(args)
    assert.doesNotMatch(ended.stdout + ended.stderr, /[^\n\P{C}]|^media 2/mu, args.join(' '))
  }
  const shown = JSON.parse(await told(service, 'show', '1', '--json'))
  assert.equal(shown.items[0].objectKey, key)
})

test('an id that nobody knows, and one that is none, are told apart', async (t) => {
  const service = await withService(t)
  await service.migrate()
  const unknown = await service.run(['why', '99'])
  assert.notEqual(unknown.code, 0)
  assert.match(unknown.stderr, /there is no media row 99/)
  for (const id of ['0', '-1', 'x', '1.5']) {
    const wrong = await service.run(['show', '--', id])
    assert.equal(wrong.code, 64, story(wrong))
  }
})

test('a person has tried again what waits, and is told what to do about what does not', async (t) => {
  const service = await withService(t)
  await service.approve(2, (n) => (n === 1 ? { bytes: Buffer.from('no film') } : 'no object'))
  const states = () => service.sql<{ state: string; due: boolean }[]>`
    select state, next_attempt_at <= clock_timestamp() as due from strongroom.items order by media_id`
  await service.run(['sync', '--once'])
  const [missing, rejected] = (await states())
    .map(({ state }, n) => [state, n + 1] as const)
    .toSorted(([a], [b]) => a.localeCompare(b))
  assert.deepEqual([missing?.[0], rejected?.[0]], ['missing', 'rejected'])
  assert.match(await told(service, 'retry', String(missing?.[1])), /the next run takes it/)
  assert.deepEqual(
    (await states()).filter(({ state }) => state === 'missing'),
    [{ state: 'missing', due: true }],
  )
  const refused = await service.run(['retry', String(rejected?.[1])])
  assert.equal(refused.code, 1, story(refused))
  assert.match(refused.stderr, /is rejected: a retry would change nothing\n {2}.*approve again/)
  await told(service, 'acknowledge', String(rejected?.[1]), '--note', 'the uploader was asked')
  const [action] = await service.sql`
    select actor, action, details->>'note' as note, outcome from strongroom.admin_actions
    where action = 'acknowledge'`
  const note = 'the uploader was asked'
  assert.deepEqual(action, { actor: 'command', action: 'acknowledge', note, outcome: 'done' })
})
