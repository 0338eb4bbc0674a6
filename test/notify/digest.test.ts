import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendDigests } from '../../src/notify/digest.ts'

/** The days (right clock) on which a digest was sent within ten days; the wall clock is off as `offAt` says. */
async function play(offAt: (ms: number) => number): Promise<string[]> {
  const began = Date.parse('2026-11-23T10:00Z')
  const day = 86_400_000
  let nowMs = 0
  const stop = new AbortController()
  const sent: string[] = []
  await sendDigests(
    {
      cron: '0 8 * * *',
      timeZone: 'UTC',
      now: () => new Date(began + nowMs + offAt(nowMs)),
      wait: async (ms) => {
        nowMs += ms
        if (nowMs > 10 * day) stop.abort()
      },
      signal: stop.signal,
    },
    () => sent.push(new Date(began + nowMs).toISOString().slice(0, 16)),
  )
  return sent
}

test('a clock that was ten years ahead at boot does not end all digests', async () => {
  const sent = await play((ms) => (ms < 60_000 ? 3650 * 86_400_000 : 0))
  assert.ok(sent.length >= 8, `sent in ten days: ${sent.length}`)
})
