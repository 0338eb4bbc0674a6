/** What the built program tells, and what it runs, while something fails and when it works again. */
import assert from 'node:assert/strict'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { withMailbox } from '../support/mailbox.ts'
import { approveMedium, assertArchived, itemOf } from '../support/media-rows.ts'
import { startTalking } from '../support/program.ts'
import { type Receiver, withReceiver } from '../support/receiver.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

/** A message as the webhook gets it. */
interface Told {
  type: string
  data: { title: string; lines: string[]; run: { id: number } | null }
}

const toldTo = ({ requests }: Receiver, path: string): Told[] =>
  requests.filter((request) => request.path === path).map(({ body }) => JSON.parse(body) as Told)

const titlesOf = (receiver: Receiver) => toldTo(receiver, '/webhook').map(({ data }) => data.title)

/** Resolves when the receiver has had so many requests at this path. */
async function had(receiver: Receiver, path: string, count: number): Promise<void> {
  const requests = () => receiver.requests.filter((request) => request.path.startsWith(path)).length
  while (requests() < count) await receiver.received(receiver.requests.length + 1)
}

async function withListeners(t: TestContext): Promise<{ receiver: Receiver; env: Env }> {
  const receiver = await withReceiver(t)
  const env = {
    NOTIFY_ALLOW_PRIVATE: '127.0.0.1',
    NOTIFY_WEBHOOK_URL: `${receiver.url}/webhook`,
    NOTIFY_WEBHOOK_SECRET: 'a-secret-that-is-in-no-message',
  }
  return { receiver, env }
}

/** Takes the archive away by its marker, and gives it back. */
function archiveOf({ archiveDir }: Service) {
  const marker = join(archiveDir, '.strongroom', 'archive.json')
  return {
    takeAway: () => rename(marker, `${marker}.away`),
    bringBack: () => rename(`${marker}.away`, marker),
  }
}

test('an archive that goes away and comes back is two messages on each channel, however many runs fail', async (t) => {
  const [service, mailbox] = [await withService(t), await withMailbox(t)]
  const { receiver, env } = await withListeners(t)
  const program = startTalking(t, ['start', '--role', 'sync'], {
    ...service.env,
    ...env,
    SYNC_INTERVAL: '1s',
    NOTIFY_SMTP_URL: `smtp://127.0.0.1:${mailbox.port}`,
    NOTIFY_EMAIL_FROM: 'strongroom@example.org',
    NOTIFY_EMAIL_TO: 'admin@example.org',
    NOTIFY_PING_URL: `${receiver.url}/hc/uuid`,
    NOTIFY_KUMA_URL: `${receiver.url}/api/push/token-of-some-length`,
    ADMIN_URL: 'http://nas.lan:8081',
  })
  await had(receiver, '/hc/uuid?', 1)
  const archive = archiveOf(service)
  await archive.takeAway()
  await had(receiver, '/webhook', 1)
  // Two more that fail are told of to nobody.
  const from = program.mark()
  await program.said(/the run stopped early[\s\S]*the run stopped early/, from)
  await archive.bringBack()
  await had(receiver, '/webhook', 2)
  await mailbox.received(2)
  const ended = await program.stop()
  assert.equal(ended.code, 0, story(ended))

  assert.deepEqual(titlesOf(receiver), ['sync is failing', 'sync works again'])
  const [down] = toldTo(receiver, '/webhook')
  assert.match(down?.data.lines.join('\n') ?? '', /archive.json|marker|archive/)
  assert.match(down?.data.lines.join('\n') ?? '', /^Next: mount/m)
  assert.equal(mailbox.mails.length, 2)
  assert.match(mailbox.mails[0]?.text ?? '', /http:\/\/nas\.lan:8081\/runs\/\d+/)
  const signs = receiver.requests
    .filter(({ path }) => path.startsWith('/hc/'))
    .map(({ path }) => path.replace(/\?.*/, '').replace('/hc/uuid', ''))
  assert.deepEqual(
    signs.filter((sign, index) => sign === '/fail' || signs[index - 1] === '/fail'),
    ['/fail', ''],
  )
  const beats = receiver.requests
    .filter(({ path }) => path.startsWith('/api/push'))
    .map(({ path }) => /status=(\w+)/.exec(path)?.[1])
  assert.equal(beats.filter((beat) => beat === 'down').length, 1)
})

test('a sync that is run by cron is two messages, too: the history remembers what failed', async (t) => {
  const service = await withService(t)
  const { receiver, env } = await withListeners(t)
  await service.run(['sync', '--once'], env)
  const archive = archiveOf(service)
  await archive.takeAway()
  for (let times = 0; times < 3; times++) {
    const failed = await service.run(['sync', '--once'], env)
    assert.equal(failed.code, 74, story(failed))
  }
  await archive.bringBack()
  for (let times = 0; times < 2; times++) await service.run(['sync', '--once'], env)
  assert.deepEqual(titlesOf(receiver), ['sync is failing', 'sync works again'])
})

test('a failure that nobody could be told of, as nothing answered, is told by the next sync by cron, and once', async (t) => {
  const service = await withService(t)
  const { receiver, env } = await withListeners(t)
  await service.run(['sync', '--once'], env)
  await archiveOf(service).takeAway()
  receiver.answer = (_request, response) => void response.writeHead(503).end()
  const untold = await service.run(['sync', '--once'], env)
  assert.equal(untold.code, 74, story(untold))
  receiver.answer = (_request, response) => void response.end('ok')
  receiver.requests.length = 0
  for (let times = 0; times < 3; times++) {
    const failed = await service.run(['sync', '--once'], env)
    assert.equal(failed.code, 74, story(failed))
  }
  assert.deepEqual(titlesOf(receiver), ['sync is failing'])
})

test('what a sync by cron finds lost, or pauses releases for, is told of, and once', async (t) => {
  const service = await withService(t)
  const { receiver, env } = await withListeners(t)
  const sync = async (code: number) => {
    receiver.requests.length = 0
    const ended = await service.run(['sync', '--once'], { ...env, RELEASE_GRACE: '1h' })
    assert.equal(ended.code, code, story(ended))
    return titlesOf(receiver)
  }
  const medium = await approveMedium(service)
  assert.deepEqual(await sync(0), [])
  await rm(join(service.archiveDir, await assertArchived(service, medium)))
  await service.admin.delete(medium.key)
  await service.sql`update strongroom.items set release_due = now() - interval '1 minute'`
  assert.deepEqual(await sync(75), ['archived files are damaged'])
  assert.equal((await itemOf(service, medium.mediaId)).state, 'lost')
  assert.deepEqual(await sync(0), [])
  const seen = await service.run(['acknowledge', `${medium.mediaId}`], env)
  assert.equal(seen.code, 0, story(seen))
  assert.deepEqual(await sync(0), ['every archived file is whole again, or acknowledged'])
  for (const [command, title] of [
    ['pause', 'releases are paused'],
    ['resume', 'releases run again'],
  ] as const) {
    await service.run(['release', command], env)
    assert.deepEqual([await sync(0), await sync(0)], [[title], []])
  }
})

test('hooks run around a sync and for each item, with what users wrote as text only', async (t) => {
  const service = await withService(t)
  const { receiver, env } = await withListeners(t)
  const hook = join(service.errorDir, '..', 'hook')
  const lines = join(service.errorDir, '..', 'lines')
  await writeFile(
    hook,
    `#!/bin/sh\nread -r json\nprintf '%s %s %s\\n' "$STRONGROOM_EVENT" "$STRONGROOM_MEDIA_ID$STRONGROOM_RUN_STATUS" "$*" >> '${lines}'\n`,
    { mode: 0o755 },
  )
  const uploads = await service.approve(2, (n) =>
    n === 1 ? { bytes: Buffer.from('no medium') } : undefined,
  )
  await service.sql`update media set title = '$(touch /tmp/never) "; exit 1'`
  const ended = await service.run(['sync', '--once'], {
    ...env,
    HOOK_PRE_SYNC: `${hook} 'one word'`,
    HOOK_POST_SYNC: hook,
    HOOK_ITEM_ARCHIVED: hook,
    HOOK_ITEM_REJECTED: hook,
  })
  assert.equal(ended.code, 0, story(ended))
  const [first, second] = uploads.map(({ mediaId }) => mediaId)
  const said = (await readFile(lines, 'utf8')).split('\n').map((line) => line.trimEnd())
  assert.deepEqual(said.filter((line) => line !== '').toSorted(), [
    `item-archived ${first}`,
    `item-rejected ${second}`,
    'post-sync success',
    'pre-sync running one word',
  ])
  assert.deepEqual(titlesOf(receiver), ['1 item needs a person'])
})

test('a hook that fails before a sync skips it: nothing is claimed, and somebody is told', async (t) => {
  const service = await withService(t)
  const { receiver, env } = await withListeners(t)
  await service.approve(1)
  const skipped = await service.run(['sync', '--once'], { ...env, HOOK_PRE_SYNC: 'false' })
  assert.equal(skipped.code, 75, story(skipped))
  const later = await service.run(['sync', '--once'], { ...env, HOOK_PRE_SYNC: "sh -c 'exit 75'" })
  assert.equal(later.code, 75, story(later))
  const rows = await service.sql<{ status: string; error_code: string }[]>`
    select status, error_code from strongroom.runs order by id`
  assert.deepEqual(
    rows.map(({ status, error_code }) => [status, error_code]),
    [
      ['skipped', 'HOOK_FAILED'],
      ['skipped', 'HOOK_REFUSED'],
    ],
  )
  const [items] = await service.sql`select count(*)::int as count from strongroom.items`
  assert.equal(items?.count, 0)
  assert.deepEqual(titlesOf(receiver), ['sync is failing'])
})

test('a service for messages that is down costs a run nothing', async (t) => {
  const service = await withService(t)
  await service.approve(1)
  const ended = await service.run(['sync', '--once'], {
    NOTIFY_ON: 'always',
    NOTIFY_ALLOW_PRIVATE: '127.0.0.1',
    NOTIFY_WEBHOOK_URL: 'http://127.0.0.1:9/webhook-that-nobody-reads',
  })
  assert.equal(ended.code, 0, story(ended))
  assert.match(ended.stderr, /a message was not delivered/)
})
