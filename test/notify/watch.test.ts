import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createLog } from '../../src/log.ts'
import { sendDigests } from '../../src/notify/digest.ts'
import type { Condition } from '../../src/notify/standing.ts'
import { createTunnelLook } from '../../src/notify/tunnel.ts'
import { type Look, watchParts } from '../../src/notify/watch.ts'
import { partsOfTunnel } from '../../src/open/notify.ts'
import { parse } from '../support/config.ts'
import { withReceiver } from '../support/receiver.ts'

const { signal: never } = new AbortController()
const log = createLog({ level: 'error', format: 'json', destination: 2, secrets: [] })

describe('the tunnel', () => {
  test('is down when cloudflared has said so twice, and up at its first good word', async (t) => {
    const cloudflared = await withReceiver(t)
    const look = createTunnelLook(new URL(cloudflared.url))
    const answer = (status: number) => {
      cloudflared.answer = (_, response) => void response.writeHead(status).end()
    }
    answer(200)
    assert.equal(await look(never), null)
    answer(503)
    assert.equal(await look(never), 'unsure')
    answer(200)
    assert.equal(await look(never), null)
    answer(503)
    assert.equal(await look(never), 'unsure')
    const trouble = await look(never)
    assert.partialDeepStrictEqual(trouble, { title: 'the tunnel is down' })
    assert.match(JSON.stringify(trouble), /its \/ready answered 503/)
    answer(200)
    assert.equal(await look(never), null)
    assert.deepEqual(new Set(cloudflared.requests.map(({ path }) => path)), new Set(['/ready']))
  })

  test('is down when nobody answers at all', async (t) => {
    const cloudflared = await withReceiver(t)
    cloudflared.answer = (_, response) => void response.destroy()
    const look = createTunnelLook(new URL(cloudflared.url))
    assert.equal(await look(never), 'unsure')
    assert.match(JSON.stringify(await look(never)), /cloudflared does not answer/)
  })
})

test('a tunnel that goes down is told of within a minute, and so is its return', async (t) => {
  const cloudflared = await withReceiver(t)
  const stop = new AbortController()
  let [waitedMs, told]: [number, Condition[]] = [0, []]
  /** How long it took from the change of its state, at worst just after a look. */
  const took: number[] = []
  const answer = (status: number) => {
    cloudflared.answer = (_, response) => void response.writeHead(status).end()
    waitedMs = 0
  }
  const parts = partsOfTunnel(parse({ TUNNEL_METRICS_URL: cloudflared.url }))
  answer(200)
  await watchParts(parts, {
    tell: (condition) => {
      told = [...told, condition]
      const isDown = condition.trouble !== null
      if (told.length === 1) return answer(503)
      took.push(waitedMs)
      if (isDown) return answer(200)
      stop.abort()
    },
    wait: async (ms) => {
      waitedMs += ms
    },
    signal: stop.signal,
    log,
  })
  assert.deepEqual(
    told.map(({ trouble }) => trouble?.title ?? null),
    [null, 'the tunnel is down', null],
  )
  // Each look may take five seconds on top.
  assert.deepEqual(took, [30_000, 15_000])
})

describe('a part that is watched', () => {
  test('is told of as often as it is looked at, but not while it is not known', async () => {
    const stop = new AbortController()
    const trouble = { title: 'down', detail: '', next: '' }
    const seen = [null, 'unsure', trouble, new Error('away'), trouble, null] as const
    let at = 0
    const look: Look = async () => {
      const found = seen[at++]
      if (found instanceof Error) throw found
      return found ?? null
    }
    const told: Condition['trouble'][] = []
    await watchParts([{ subject: 'tunnel', recovered: 'up', everyMs: 15_000, look }], {
      tell: (condition) => told.push(condition.trouble),
      wait: async (ms) => {
        assert.equal(ms, 15_000)
        if (at === seen.length) stop.abort()
      },
      signal: stop.signal,
      log,
    })
    assert.deepEqual(told, [null, trouble, trouble, null])
  })
})

describe('the digest', () => {
  test('is sent at each time of its cron text in its zone, over a change of the clocks too', async () => {
    // In Berlin the clocks went forward on 2026-03-29.
    let nowMs = Date.parse('2026-03-27T12:00:00Z')
    const stop = new AbortController()
    const sent: { at: string; since: string }[] = []
    await sendDigests(
      {
        cron: '0 8 * * *',
        timeZone: 'Europe/Berlin',
        now: () => new Date(nowMs),
        signal: stop.signal,
        wait: async (ms) => {
          nowMs += ms
        },
      },
      (since) => {
        sent.push({ at: new Date(nowMs).toISOString(), since: since.toISOString() })
        if (sent.length === 3) stop.abort()
      },
    )
    assert.deepEqual(sent, [
      { at: '2026-03-28T07:00:00.000Z', since: '2026-03-27T08:00:00.000Z' },
      { at: '2026-03-29T06:00:00.000Z', since: '2026-03-28T07:00:00.000Z' },
      { at: '2026-03-30T06:00:00.000Z', since: '2026-03-29T06:00:00.000Z' },
    ])
  })
})
