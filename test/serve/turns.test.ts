import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTurns } from '../../src/serve/turns.ts'

test('so many begin at once, and each that ends lets the next one begin, in the order they came', () => {
  const turns = createTurns(2)
  const begun: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) turns.wait(() => begun.push(name))
  assert.equal(begun.join(''), 'ab')
  turns.done()
  assert.equal(begun.join(''), 'abc')
  turns.done()
  turns.done()
  turns.done()
  assert.equal(begun.join(''), 'abcd')
  for (const name of ['e', 'f', 'g']) turns.wait(() => begun.push(name))
  assert.equal(begun.join(''), 'abcdef')
})
