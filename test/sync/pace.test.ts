import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPace } from '../../src/sync/pace.ts'

const MIB = 1 << 20

/** Chunks of one MiB, each so long on the line and so long at the sink. */
function after(chunks: number, { line, sink }: { line: number; sink: number }): boolean {
  let ms = 0
  const pace = createPace(() => ms)
  for (let n = 0; n < chunks; n++) {
    ms += line
    pace.arrived(MIB)
    ms += sink
    pace.ready()
  }
  return pace.isSlow()
}

test('a connection that brings 25 MiB a second, and is waited for, is slow', () => {
  assert.equal(after(20, { line: 40, sink: 1 }), true)
})

test('nothing is said of it before it has had time to find its pace', () => {
  assert.equal(after(8, { line: 40, sink: 1 }), false)
  assert.equal(
    after(1, { line: 5000, sink: 0 }),
    false,
    'how long the first byte took does not count',
  )
})

test('one that fills an ordinary line is not slow', () => {
  assert.equal(after(100, { line: 10, sink: 1 }), false)
})

test('one that waits for disk or processor is not slow', () => {
  assert.equal(after(20, { line: 30, sink: 31 }), false)
})
