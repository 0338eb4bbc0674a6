import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSessions } from '../../src/admin/sessions.ts'

const HOUR_MS = 3_600_000

/** One session, and a clock that is set by hand. */
function opened() {
  const clock = { nowMs: 0 }
  const sessions = createSessions(() => clock.nowMs)
  const cookie = sessions.open()
  const session = sessions.find(cookie) ?? assert.fail('a new session is known')
  return { clock, sessions, cookie, session }
}

test('a session is over twelve hours after its last use, and whoever asks that does not use it', () => {
  const { clock, sessions, cookie, session } = opened()
  clock.nowMs = 11 * HOUR_MS
  assert.equal(sessions.find(cookie), session)
  clock.nowMs = 22 * HOUR_MS
  assert.equal(session.isOver(), false)
  clock.nowMs = 23 * HOUR_MS
  assert.equal(session.isOver(), true)
  assert.equal(sessions.find(cookie), null)
})

test('a session is over when it is closed, and the one that was not used for longest when there are too many', () => {
  const { sessions, cookie, session } = opened()
  const other = sessions.find(sessions.open()) ?? assert.fail('a new session is known')
  sessions.close(cookie)
  assert.deepEqual([session.isOver(), other.isOver()], [true, false])
  for (let more = 0; more < 100; more += 1) sessions.open()
  assert.equal(other.isOver(), true)
})
