import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createLog } from '../../src/log.ts'
import type { Delivery } from '../../src/notify/delivery.ts'
import { createLane } from '../../src/notify/lane.ts'

const failed: Delivery = { kind: 'failed', why: 'no answer', remedy: 'wait' }
const refused: Delivery = { kind: 'refused', why: 'answered 404', remedy: 'set it' }
const delivered: Delivery = { kind: 'delivered' }

/** A lane over a service that answers as it is told; time passes only while it pauses. */
function rig(answer: (what: string, attempt: number) => Delivery, room = 10) {
  const [sent, pauses, lines]: [string[], number[], string[]] = [[], [], []]
  const idle = Promise.withResolvers<void>()
  let nowMs = 0
  const channel = {
    name: 'ntfy' as const,
    setting: 'NOTIFY_NTFY_URL',
    async send(what: string) {
      sent.push(what)
      return answer(what, sent.length)
    },
  }
  const log = createLog({
    level: 'info',
    format: 'json',
    destination: { write: (line) => lines.push(line) },
    secrets: [],
  })
  const lane = createLane<string>({
    channel,
    room,
    log,
    now: () => nowMs,
    wait: async (ms) => {
      pauses.push(ms)
      nowMs += ms
    },
  })
  const over = AbortSignal.abort()
  return { lane, sent, pauses, lines, idle, over, never: new AbortController().signal }
}

describe('what a channel is to send', () => {
  test('goes out in order, each once', async () => {
    const { lane, sent, never } = rig(() => delivered)
    for (const what of ['a', 'b', 'c']) lane.put(what)
    await lane.close(never)
    assert.deepEqual(sent, ['a', 'b', 'c'])
  })

  test('is tried again ever more seldom, up to ten minutes, and given up after a day', async () => {
    const { lane, sent, pauses, lines } = rig(() => failed)
    lane.put('a')
    while (lines.length < 2) await new Promise((resolve) => setImmediate(resolve))
    const total = pauses.reduce((sum, ms) => sum + ms, 0)
    assert.ok(total > 24 * 3_600_000 && total < 24.5 * 3_600_000)
    assert.ok((pauses[0] ?? 0) <= 2_000 && Math.max(...pauses) <= 600_000)
    assert.ok(sent.length > 140 && sent.length < 320)
    assert.match(lines[0] ?? '', /could not be sent yet/)
    assert.match(lines[1] ?? '', /not delivered.*NOTIFY_NTFY_URL|NOTIFY_NTFY_URL.*not delivered/)
    assert.equal(lines.length, 2, 'the log tells of the first failure and of the last')
  })

  test('waits as long as the service asked for', async () => {
    const { lane, pauses, never } = rig((_, attempt) =>
      attempt === 1 ? { ...failed, retryAfterMs: 1_800_000 } : delivered,
    )
    lane.put('a')
    while (pauses.length === 0) await new Promise((resolve) => setImmediate(resolve))
    await lane.close(never)
    assert.deepEqual(pauses, [1_800_000])
  })

  test('is not tried again when it was refused, and the next one is sent', async () => {
    const { lane, sent, lines, never } = rig((what) => (what === 'a' ? refused : delivered))
    lane.put('a')
    lane.put('b')
    await lane.close(never)
    assert.deepEqual(sent, ['a', 'b'])
    assert.match(lines.join(''), /answered 404/)
  })

  test('that is a fault of ours costs only itself', async () => {
    const { lane, sent, lines, never } = rig((what) => {
      if (what === 'a') throw new Error('boom')
      return delivered
    })
    lane.put('a')
    lane.put('b')
    await lane.close(never)
    assert.deepEqual(sent, ['a', 'b'])
    assert.match(lines.join(''), /internal error: boom/)
  })

  test('makes room for the newest: the oldest goes, also while it is tried again', async () => {
    const { lane, sent, lines, never } = rig((what) => (what === 'a' ? failed : delivered), 2)
    for (const what of ['a', 'b', 'c']) lane.put(what)
    await lane.close(never)
    assert.deepEqual(sent, ['a', 'b', 'c'])
    assert.match(lines.join(''), /the oldest was dropped/)
  })

  test('is tried three times when the program ends, and no more once its time is over', async () => {
    const { lane, sent, never } = rig(() => failed)
    const closed = lane.close(never)
    lane.put('a')
    await closed
    await lane.close(never)
    assert.deepEqual(sent, ['a', 'a', 'a'])

    const late = rig(() => failed)
    const closing = late.lane.close(late.over)
    late.lane.put('a')
    await closing
    await late.lane.close(late.over)
    assert.deepEqual(late.sent, [])
    assert.match(late.lines.join(''), /the program was stopped before it was sent/)
  })
})
