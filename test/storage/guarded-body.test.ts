import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { guardBody } from '../../src/storage/guarded-body.ts'
import { bodyByHand } from '../support/bodies.ts'
import { coded } from '../support/demo-bucket.ts'

const ignore = () => undefined
const ignoring = { take: ignore }

test('only the time in which somebody waits for bytes counts as a stall', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const body = bodyByHand(6)
  t.mock.timers.tick(5000)
  assert.deepEqual(body.told, [], 'nobody has read yet')

  const { promise, resolve } = Promise.withResolvers<void>()
  const ended = assert.rejects(body.drain({ take: () => promise }), coded('TRANSFER_STALLED'))
  assert.equal(body.data(Buffer.from('abc')), false)
  t.mock.timers.tick(5000)
  assert.deepEqual(body.told, ['resume'], 'the reader is slow, not the store')

  resolve()
  await setImmediate()
  t.mock.timers.tick(999)
  assert.deepEqual(body.told, ['resume', 'resume'])
  t.mock.timers.tick(1)
  await ended
  assert.deepEqual(body.told, ['resume', 'resume', 'destroy'])
})

test('each byte begins the stall time-out anew', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const body = bodyByHand(6)
  const read = body.drain(ignoring)
  for (const letter of 'abcdef') {
    assert.equal(body.data(Buffer.from(letter)), true)
    t.mock.timers.tick(900)
  }
  body.end()
  await read
})

for (const [text, what] of [
  ['abc', 'shorter'],
  ['abcdefghi', 'longer'],
] as const) {
  test(`a body that is ${what} than its headers said is broken`, async () => {
    const body = bodyByHand(6)
    const read = body.drain(ignoring)
    body.data(Buffer.from(text))
    body.end()
    await assert.rejects(read, coded('TRANSFER_BROKEN'))
  })
}

test('a reader that gives up in the middle leaves no timer behind', () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const body = bodyByHand(6)
  void body.drain({ take: () => void body.destroy() }).catch(() => {}) // by its own reader
  assert.equal(body.data(Buffer.from('abc')), false)
  assert.equal(timers(), before)
  assert.deepEqual(body.told, ['resume', 'destroy'])
})

test('what a reader throws ends the body with that very error', async () => {
  const error = new Error('no room')
  const body = bodyByHand(6)
  const take = () => {
    throw error
  }
  const read = body.drain({ take })
  assert.equal(body.data(Buffer.from('abc')), false)
  await assert.rejects(read, error)
  assert.equal(body.data(Buffer.from('def')), false, 'and nothing more is given to it')
})

test('a reader that cannot take the last chunk gives the connection up', async () => {
  const error = new Error('no room')
  const body = bodyByHand(3)
  const read = body.drain({ take: () => Promise.reject(error) })
  body.data(Buffer.from('abc'))
  body.end()
  await assert.rejects(read, error)
  assert.deepEqual(body.told, ['resume', 'destroy'])
})

test('a reader that finds no memory ends the body with that very error', async () => {
  const error = new RangeError('Array buffer allocation failed')
  const body = bodyByHand(6)
  const room = () => {
    throw error
  }
  const read = body.drain({ ...ignoring, room })
  assert.equal(body.room(), undefined)
  await assert.rejects(read, error)
})

test('a signal that was given before the body began destroys it', async () => {
  const told: string[] = []
  const source = { resume: ignore, release: ignore, destroy: () => void told.push('destroy') }
  const rules = { sizeBytes: 6, stallMs: 1000, subject: 'the object' }
  const body = guardBody(source, { ...rules, signal: AbortSignal.abort() })
  assert.deepEqual(told, ['destroy'])
  await assert.rejects(body.drain(ignoring), coded('CANCELLED'))
})

test('a body that breaks before anybody reads it ends nothing, and its reader is told', async () => {
  const body = bodyByHand(6)
  body.broke()
  await setImmediate()
  await assert.rejects(body.drain(ignoring), coded('TRANSFER_BROKEN'))
})
