import assert from 'node:assert/strict'
import { test } from 'node:test'
import { visible, visibleLines } from '../src/visible.ts'

const hostile = 'a\u001b[31m\u009b\r\u202e\u2028\u{e0001}\ud800z\u0007'
const seen = String.raw`a\u001b[31m\u009b\u000d\u202e\u2028\udb40\udc01\ud800z\u0007`

test('what steers a terminal is shown and does nothing', () => {
  assert.equal(visible(hostile), seen)
  assert.equal(visible('one\ntwo'), String.raw`one\u000atwo`)
  assert.equal(visibleLines(`${hostile}\n${hostile}\n`), `${seen}\n${seen}\n`)
})

test('names as people write them stay as they are', () => {
  for (const name of ['plain ~ name', 'Übung 🎬', '👩‍👩‍👧.jpg', 'نامه‌ها', '日本語'])
    assert.deepEqual([visible(name), visibleLines(`${name}\n`)], [name, `${name}\n`])
})

test('a line of JSON means what it meant', () => {
  const told = { key: `${hostile}\n\\`, [hostile]: 1 }
  assert.deepEqual(JSON.parse(visibleLines(`${JSON.stringify(told)}\n`)), told)
})
