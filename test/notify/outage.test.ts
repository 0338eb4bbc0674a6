/** What arrives at real sockets over an outage of six hours and its end, and after a restart in the middle of it. */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { NotifyConfig, NotifyOn } from '../../src/config/notify.ts'
import { createLog } from '../../src/log.ts'
import { openChannels } from '../../src/notify/channels.ts'
import { createNotifier, type History } from '../../src/notify/notifier.ts'
import { createReach } from '../../src/notify/reach.ts'
import type { Failing } from '../../src/notify/standing.ts'
import type { Run } from '../../src/runs.ts'
import { type Mailbox, withMailbox } from '../support/mailbox.ts'
import { type Receiver, withReceiver } from '../support/receiver.ts'
import { aRun } from './message.ts'

const usual: readonly NotifyOn[] = ['failure', 'recovery']
const { signal: never } = new AbortController()
const START = Date.parse('2026-03-05T00:00:00Z')
const at = (minutes: number) => new Date(START + minutes * 60_000)

interface Services {
  receiver: Receiver
  mailbox: Mailbox
  /** What a run is for the services: with the same history a restarted program. */
  open(options?: {
    on?: readonly NotifyOn[]
    history?: History | null
  }): ReturnType<typeof createNotifier>
}

/** Every channel there is, each with a path of its own on one receiver. */
async function withServices(t: TestContext): Promise<Services> {
  const [receiver, mailbox] = [await withReceiver(t), await withMailbox(t)]
  const url = (path: string) => new URL(path, receiver.url)
  const config: NotifyConfig = {
    on: [],
    digest: '0 8 * * *',
    slack: url('/slack'),
    discord: url('/discord'),
    ntfy: { url: url('/ntfy/topic'), token: null },
    apprise: url('/apprise/notify/key'),
    webhook: { url: url('/webhook'), secret: 'a-secret-of-some-length' },
    email: {
      server: new URL(`smtp://127.0.0.1:${mailbox.port}`),
      from: 'strongroom@example.org',
      to: ['admin@example.org'],
    },
    ping: url('/hc/uuid'),
    kuma: url('/kuma/api/push/token'),
    allowed: { hosts: ['127.0.0.1'], ranges: [] },
    tunnelMetrics: null,
    adminUrl: 'http://nas.lan:8081',
  }
  const log = createLog({ level: 'error', format: 'json', destination: 2, secrets: [] })
  const open: Services['open'] = ({ on = usual, history = null } = {}) =>
    createNotifier({
      on,
      channels: openChannels(config, {
        reach: createReach(config.allowed),
        redact: (text) => text,
      }),
      sender: {
        node: 'nas',
        adminUrl: config.adminUrl,
        stamp: () => ({ id: crypto.randomUUID(), at: at(0) }),
      },
      history,
      log,
      wait: async () => {},
      now: () => 0,
    })
  return { receiver, mailbox, open }
}

const outage: Run['error'] = {
  code: 'BUCKET_UNAVAILABLE',
  message: 'the bucket does not answer',
  hint: 'check R2_ENDPOINT',
}

/** The runs of six hours, one every minute: all is well, then the bucket is away, then all is well again. */
function sixHours(): Run[] {
  const runs: Run[] = []
  for (let minute = 0; minute <= 362; minute++) {
    const failing = minute >= 1 && minute <= 361
    runs.push(
      aRun({
        id: minute + 1,
        startedAt: at(minute),
        endedAt: at(minute + 0.5),
        ...(failing ? { status: 'failed', error: outage, items: {}, bytes: 0 } : {}),
      }),
    )
  }
  return runs
}

/** What outlives a process. */
function aHistory(runs: readonly Run[] = []): History {
  const told = new Map<string, Failing>()
  return {
    told: async () => new Map(told),
    async enterTold(subject, failing) {
      if (failing === null) told.delete(subject)
      else told.set(subject, failing)
    },
    endedSince: async () => runs,
  }
}

const pathsOf = ({ requests }: Receiver, prefix: string) =>
  requests.filter(({ path }) => path.startsWith(prefix)).map(({ path }) => path)

const webhooksOf = ({ requests }: Receiver) =>
  requests
    .filter(({ path }) => path === '/webhook')
    .map(
      ({ body }) => JSON.parse(body) as { type: string; data: { title: string; lines: string[] } },
    )

const titlesOf = (receiver: Receiver) =>
  webhooksOf(receiver).map(({ type, data }) => `${type.replace('strongroom.', '')}: ${data.title}`)

async function tellAll(services: Services, runs: readonly Run[], open = services.open()) {
  for (const run of runs) {
    open.started({ ...run, status: 'running', endedAt: null, error: null })
    open.ended(run)
  }
  await open.close(never)
}

describe('an outage of six hours', () => {
  test('is two messages on each channel: it fails, and it works again', async (t) => {
    const services = await withServices(t)
    const { receiver, mailbox } = services
    await tellAll(services, sixHours())
    for (const [prefix, expected] of [
      ['/slack', 2],
      ['/discord', 2],
      ['/ntfy', 2],
      ['/apprise', 2],
      ['/webhook', 2],
    ] as const)
      assert.equal(pathsOf(receiver, prefix).length, expected, prefix)
    assert.deepEqual(titlesOf(receiver), ['failure: sync is failing', 'recovery: sync works again'])
    const [down, up] = webhooksOf(receiver)
    assert.deepEqual(down?.data.lines, [
      'the bucket does not answer',
      'Next: check R2_ENDPOINT',
      'It is tried again by itself; the next message comes when it works again.',
    ])
    assert.deepEqual(up?.data.lines, ['It failed for 6 h 2 min: the bucket does not answer'])
    assert.deepEqual(
      mailbox.mails.map(({ text }) => /^Subject: (.*)\r$/m.exec(text)?.[1]),
      ['Strongroom: sync is failing', 'Strongroom: sync works again'],
    )
  })

  test('is one failure and one success for services that wait for signs of life', async (t) => {
    const services = await withServices(t)
    const runs = sixHours()
    const notifier = services.open()
    // One at a time, as runs are; only the newest signs are kept for a service that is slow.
    for (const [index, run] of runs.entries()) {
      notifier.started({ ...run, status: 'running' })
      if (index < 2) await services.receiver.received(index * 3 + 1)
      notifier.ended(run)
      if (index === 0) await services.receiver.received(3)
    }
    await notifier.close(never)
    const pings = pathsOf(services.receiver, '/hc').map((path) =>
      path.replace(/\?rid=[\da-f-]{36}$/, ''),
    )
    assert.deepEqual(pings, [
      '/hc/uuid/start',
      '/hc/uuid',
      '/hc/uuid/start',
      '/hc/uuid/fail',
      '/hc/uuid',
    ])
    const beats = pathsOf(services.receiver, '/kuma').map((path) => {
      const { searchParams } = new URL(path, 'http://x')
      return [searchParams.get('status'), searchParams.get('msg'), searchParams.get('ping')]
    })
    assert.deepEqual(beats, [
      ['up', 'success', '30000'],
      ['down', 'the bucket does not answer', '30000'],
      ['up', 'success', '30000'],
    ])
  })

  test('is two messages although the program was restarted in the middle of it', async (t) => {
    const services = await withServices(t)
    const runs = sixHours()
    const history = aHistory()
    await tellAll(services, runs.slice(0, 100), services.open({ history }))
    await tellAll(services, runs.slice(100), services.open({ history }))
    await tellAll(services, runs.slice(-1), services.open({ history }))
    assert.deepEqual(titlesOf(services.receiver), [
      'failure: sync is failing',
      'recovery: sync works again',
    ])
  })

  for (const [message, end] of [
    ['beginning', 100],
    ['end', 363],
  ] as const)
    test(`whose ${message} could not be told before the program ended is told of by the next one`, async (t) => {
      const services = await withServices(t)
      const [runs, history] = [sixHours(), aHistory()]
      const { receiver } = services
      if (message === 'end') await tellAll(services, runs.slice(0, 9), services.open({ history }))
      // The way to the internet is down: neither the bucket nor any service answers.
      receiver.answer = (_request, response) => void response.writeHead(503).end()
      services.mailbox.refuseRecipients = '450 later'
      const untold = runs.slice(message === 'end' ? 9 : 0, end)
      await tellAll(services, untold, services.open({ history }))
      receiver.requests.length = 0
      receiver.answer = (_request, response) => void response.end('ok')
      services.mailbox.refuseRecipients = null
      for (let times = 0; times < 2; times++)
        await tellAll(services, untold.slice(-1), services.open({ history }))
      const title = message === 'end' ? 'recovery: sync works again' : 'failure: sync is failing'
      assert.deepEqual(titlesOf(receiver), [title])
    })

  test('that is over when its beginning can be told at last does not hide the next one', async (t) => {
    const services = await withServices(t)
    const { receiver } = services
    const [runs, history] = [sixHours(), aHistory()]
    receiver.answer = (_request, response) => void response.writeHead(503).end()
    services.mailbox.refuseRecipients = '450 later'
    const notifier = services.open({ on: ['failure'], history })
    for (const run of [...runs.slice(0, 3), ...runs.slice(-1)]) notifier.ended(run)
    while (pathsOf(receiver, '/webhook').length === 0)
      await receiver.received(receiver.requests.length + 1)
    services.mailbox.refuseRecipients = null
    receiver.answer = (_request, response) => void response.end('ok')
    await notifier.close(never)
    receiver.requests.length = 0
    await tellAll(services, runs.slice(0, 3), services.open({ history }))
    assert.deepEqual(titlesOf(receiver), ['failure: sync is failing'])
  })

  for (const [next, titles] of [
    ['failed', ['failure: sync is failing']],
    ['success', ['recovery: sync works again']],
  ] as const)
    test(`that another process told of, and that is over, hides no later one: the next run is ${next}`, async (t) => {
      const services = await withServices(t)
      const history = aHistory()
      const told = async () =>
        new Map([['sync', { since: at(1), title: 'by hand', cases: [], isOver: true }]])
      const error = next === 'failed' ? outage : null
      const runs = [1, 2].map((id) => aRun({ id, status: next, error }))
      await tellAll(services, runs, services.open({ history: { ...history, told } }))
      assert.deepEqual(titlesOf(services.receiver), titles)
    })

  test('that a kill began is told of by whoever finds the run cut off, and once', async (t) => {
    const services = await withServices(t)
    const error = { code: 'RUN_INTERRUPTED', message: 'its process ended', hint: null } as const
    const killed = aRun({ id: 3, status: 'failed', error })
    const history = aHistory()
    await tellAll(services, [killed], services.open({ history }))
    await tellAll(services, [killed, aRun({ id: 4 })], services.open({ history }))
    assert.deepEqual(titlesOf(services.receiver), [
      'failure: sync is failing',
      'recovery: sync works again',
    ])
  })

  test('is told of once although what was told is read late, and in doubt twice', async (t) => {
    const services = await withServices(t)
    const failed = aRun({ status: 'failed', error: outage })
    const history = aHistory()
    await tellAll(services, [failed], services.open({ history }))
    const awayFor = (times: number): History => {
      let calls = 0
      const told = async () => {
        calls += 1
        if (calls <= times) throw new Error('the database is away')
        return history.told()
      }
      return { ...history, told }
    }
    await tellAll(services, [failed, failed], services.open({ history: awayFor(1) }))
    assert.deepEqual(titlesOf(services.receiver), ['failure: sync is failing'])
    await tellAll(services, [failed, failed], services.open({ history: awayFor(2) }))
    assert.equal(titlesOf(services.receiver).length, 2)
  })
})

describe('what is told', () => {
  test('of the items of a sync is in its own message, whatever other job begins or ends meanwhile', async (t) => {
    const services = await withServices(t)
    const notifier = services.open()
    const sync = aRun({ id: 1, status: 'partial', items: { rejected: 1 } })
    const scrub = aRun({ id: 2, job: 'scrub', status: 'failed', error: outage, items: {} })
    notifier.started({ ...sync, status: 'running', endedAt: null })
    notifier.itemSettled({
      item: { media: { mediaId: 5 } },
      outcome: 'rejected',
      reason: 'no video in it',
    })
    notifier.started({ ...scrub, status: 'running', endedAt: null, error: null })
    notifier.ended(scrub)
    notifier.ended(sync)
    await notifier.close(never)
    const reason = 'media 5 rejected: no video in it'
    assert.deepEqual(
      webhooksOf(services.receiver).map(({ data }) => [data.title, data.lines.includes(reason)]),
      [
        ['scrub is failing', false],
        ['1 item needs a person', true],
      ],
    )
  })

  const told: [on: NotifyOn[], titles: string[]][] = [
    [['failure'], ['failure: sync is failing', 'attention: 2 items need a person']],
    [['recovery'], ['recovery: sync works again']],
    [['digest'], []],
    [
      ['always'],
      [
        'finished: sync: success',
        'failure: sync is failing',
        'recovery: sync works again',
        'attention: 2 items need a person',
      ],
    ],
  ]
  const runs = [
    aRun({ id: 1 }),
    aRun({ id: 2, status: 'failed', error: outage }),
    aRun({ id: 3, status: 'failed', error: outage }),
    aRun({ id: 4, status: 'cancelled' }),
    aRun({ id: 5, status: 'skipped' }),
    aRun({ id: 6, mode: 'dry-run' }),
    aRun({ id: 7, status: 'partial', items: { waiting: 1 } }),
    aRun({ id: 8, status: 'partial', items: { rejected: 1, held: 1 } }),
  ]
  for (const [on, titles] of told)
    test(`on ${on} is just that`, async (t) => {
      const services = await withServices(t)
      await tellAll(services, runs, services.open({ on }))
      assert.deepEqual(titlesOf(services.receiver), titles)
    })

  test('of items that need a person are the first three reasons, as one line each', async (t) => {
    const services = await withServices(t)
    const notifier = services.open()
    notifier.started(aRun({ status: 'running' }))
    for (let mediaId = 1; mediaId <= 5; mediaId++)
      notifier.itemSettled({ item: { media: { mediaId } }, outcome: 'rejected', reason: 'a\nb' })
    notifier.itemSettled({ item: { media: { mediaId: 9 } }, outcome: 'archived', reason: null })
    notifier.ended(aRun({ items: { rejected: 5, archived: 1 } }))
    await notifier.close(never)
    assert.deepEqual(webhooksOf(services.receiver)[0]?.data.lines, [
      'media 1 rejected: a b',
      'media 2 rejected: a b',
      'media 3 rejected: a b',
      'Next: "strongroom why MEDIA-ID" says what became of each, and what to do',
    ])
  })

  test('of a part that fails is its beginning and its end, and nothing that was told before a restart', async (t) => {
    const services = await withServices(t)
    const trouble = {
      title: 'releases are paused',
      detail: 'by hand',
      next: 'resume them',
      since: at(5),
    }
    const paused = { subject: 'releases', trouble, recovered: 'releases run again' }
    const history = aHistory()
    const notifier = services.open({ history })
    notifier.tell({ ...paused, trouble: null })
    for (let times = 0; times < 50; times++) notifier.tell(paused)
    await notifier.close(never)
    const restarted = services.open({ history })
    restarted.tell(paused)
    restarted.tell({ ...paused, trouble: null })
    await restarted.close(never)
    assert.deepEqual(titlesOf(services.receiver), [
      'failure: releases are paused',
      'recovery: releases run again',
    ])
  })

  test('in a digest is how many runs of each kind there were, what they did and what fails', async (t) => {
    const services = await withServices(t)
    const past = [
      aRun({ id: 1 }),
      aRun({ id: 2, status: 'failed', error: outage, items: {}, bytes: 0 }),
    ]
    const notifier = services.open({ on: ['digest'], history: aHistory(past) })
    notifier.ended(aRun({ id: 2, status: 'failed', error: outage }))
    notifier.digest(at(0))
    await notifier.close(never)
    assert.deepEqual(titlesOf(services.receiver), ['digest: 3 archived, 1 failing'])
    const [digest] = services.receiver.requests.filter(({ path }) => path === '/webhook')
    assert.partialDeepStrictEqual(JSON.parse(digest?.body ?? ''), {
      data: {
        lines: [
          'Since 2026-03-05 00:00 UTC.',
          'Failing since 2026-03-05 04:30 UTC: sync: the bucket does not answer',
          'sync: the bucket does not answer',
        ],
        facts: { 'sync runs': '1 success, 1 failed', archived: '3', bytes: '4.0 KiB' },
      },
    })
  })
})
