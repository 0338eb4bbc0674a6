import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { createSlots } from '../src/slots.ts'
import { hasCode } from './support/scopes.ts'

test('no more than the agreed number hold a slot, and they come in order', async () => {
  const slots = createSlots(2)
  const order: number[] = []
  let holding = 0
  const work = async (turn: number): Promise<void> => {
    const giveBack = await slots.take()
    holding += 1
    assert.ok(holding <= 2)
    order.push(turn)
    await new Promise((resolve) => setImmediate(resolve))
    holding -= 1
    giveBack()
  }
  await Promise.all([0, 1, 2, 3, 4, 5, 6].map(work))
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6])
})

test('whoever is cancelled while waiting leaves the queue and takes no slot', async () => {
  const slots = createSlots(1)
  const giveBack = await slots.take()
  const abort = new AbortController()
  const waiting = slots.take(abort.signal)
  const next = slots.take()
  abort.abort()
  await assert.rejects(waiting, hasCode('CANCELLED'))
  giveBack()
  const giveBackNext = await next
  giveBackNext()
  await slots.take()
  await assert.rejects(slots.take(abort.signal), hasCode('CANCELLED'))
})

test('a slot that was waited for leaves no listener on the signal', async () => {
  const slots = createSlots(1)
  const { signal } = new AbortController()
  const giveBack = await slots.take(signal)
  const waiting = slots.take(signal)
  giveBack()
  await waiting
  assert.deepEqual(getEventListeners(signal, 'abort'), [])
})

test('so many begin at once, and each that ends lets the next one begin, in the order they came', () => {
  const slots = createSlots(2)
  const begun: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) slots.wait(() => begun.push(name))
  assert.equal(begun.join(''), 'ab')
  slots.done()
  assert.equal(begun.join(''), 'abc')
  slots.done()
  slots.done()
  slots.done()
  assert.equal(begun.join(''), 'abcd')
  for (const name of ['e', 'f', 'g']) slots.wait(() => begun.push(name))
  assert.equal(begun.join(''), 'abcdef')
})
