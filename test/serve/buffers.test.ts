import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createBuffers, smallestChunk } from '../../src/serve/buffers.ts'

const run = promisify(execFile)
const KIB = 1024
const MIB = 1024 * KIB

test('one download gets large buffers, many get small ones, and together no more than the budget', () => {
  const buffers = createBuffers(64 * MIB)
  buffers.moving = 1
  assert.equal(buffers.take(10 * MIB).length, 2 * MIB)
  buffers.moving = 100
  assert.equal(buffers.fairBytes(true), 256 * KIB)
  const taken = []
  while (buffers.fairBytes(true) > 64 * KIB) taken.push(buffers.take(MIB))
  assert.ok(buffers.inUse <= 64 * MIB)
  for (const buffer of taken) buffers.give(buffer)
  assert.equal(buffers.inUse, 2 * MIB)
})

test('beyond the budget each further download still gets the smallest buffer', () => {
  const buffers = createBuffers(MIB)
  for (let download = 0; download < 100; download++) {
    assert.ok(buffers.take(MIB).length >= 64 * KIB)
  }
  assert.ok(buffers.inUse <= MIB + 100 * 64 * KIB)
  assert.equal(buffers.mayReadAhead(true), false)
})

test('a buffer that was given back is used again, one that was forgotten never', () => {
  const buffers = createBuffers(64 * MIB)
  const first = buffers.take(MIB)
  buffers.give(first)
  const second = buffers.take(MIB)
  assert.equal(second, first)
  buffers.forget(second)
  assert.notEqual(buffers.take(MIB), second)
})

test('when downloads come and go, the memory that is there is used before more is taken', () => {
  const buffers = createBuffers(64 * MIB)
  buffers.moving = 64
  const first = Array.from({ length: 64 }, () => buffers.take(MIB))
  for (const buffer of first) buffers.give(buffer)
  buffers.moving = 65
  const second = Array.from({ length: 65 }, () => buffers.take(MIB))
  assert.equal(second.filter((buffer) => first.includes(buffer)).length, 64)
  assert.equal(second.at(-1)?.length, 256 * KIB)
})

test('where all of the budget is held by those who stand still, the others make no garbage', () => {
  const buffers = createBuffers(MIB)
  for (let download = 0; download < 100; download++) buffers.take(64 * KIB)
  const first = buffers.take(64 * KIB)
  for (let chunk = 0; chunk < 1000; chunk++) {
    buffers.give(first)
    assert.equal(buffers.take(64 * KIB), first)
  }
})

test('what fits into one chunk is sent as one, although chunks of many long downloads are smaller', () => {
  const buffers = createBuffers(64 * MIB)
  buffers.moving = 16
  assert.equal(buffers.fairBytes(true), 512 * KIB)
  assert.equal(buffers.fairWholeBytes(true), 2 * MIB)
  assert.equal(buffers.take(2 * MIB).length, 2 * MIB)
})

test('strangers hold large buffers up to a quarter of the budget, and leave the rest to those who are known', () => {
  const buffers = createBuffers(64 * MIB)
  buffers.moving = 1
  for (let download = 0; download < 100; download++) buffers.take(buffers.fairBytes(false))
  assert.ok(buffers.inUse <= 16 * MIB + 100 * 64 * KIB)
  assert.equal(buffers.fairBytes(false), 64 * KIB)
  assert.equal(buffers.mayReadAhead(false), false)
  assert.equal(buffers.fairBytes(true), 2 * MIB)
  assert.equal(buffers.mayReadAhead(true), true)
})

test('what visitors held goes back to the system, whatever was made meanwhile lives on', async () => {
  const held = 300
  const wanted = 0.8 * held * smallestChunk
  const program = `
    import { createBuffers } from ${JSON.stringify(new URL('../../src/serve/buffers.ts', import.meta.url).href)}
    const buffers = createBuffers(1)
    const living = []
    const hold = () => Array.from({ length: ${held} }, () => {
      const buffer = buffers.take(1).fill(1)
      living.push(Buffer.allocUnsafeSlow(4096).fill(1))
      return buffer
    })
    let visitors = hold()
    const most = process.memoryUsage.rss()
    for (const buffer of visitors) buffers.forget(buffer)
    visitors = null
    let freed = 0
    // What is collected is given back by another thread.
    for (let turn = 0; turn < 100 && freed < ${wanted}; turn++) {
      gc()
      await new Promise((resolve) => setTimeout(resolve, 10))
      freed = most - process.memoryUsage.rss()
    }
    console.log(freed, living.length)`
  const args = ['--expose-gc', '--input-type=module', '-e', program]
  const [freedBytes] = (await run(process.execPath, args)).stdout.split(' ').map(Number)
  assert.ok((freedBytes ?? 0) >= wanted, `only ${freedBytes} came back`)
})
