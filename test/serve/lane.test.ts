import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBuffers } from '../../src/serve/buffers.ts'
import { createLane } from '../../src/serve/lane.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Where strangers hold all that they may. */
function crowded() {
  const buffers = createBuffers(64 * MIB)
  while (buffers.fairBytes(false) > 64 * KIB) buffers.take(buffers.fairBytes(false))
  return buffers
}

test('beside a crowd of strangers a further one gets the smallest chunk, who was sent more than kernels hold a larger one', () => {
  const buffers = crowded()
  const stranger = createLane(buffers, 1024 * MIB, () => 0)
  const known = createLane(buffers, 1024 * MIB, () => 16 * MIB)
  assert.equal(stranger.take(1024 * MIB).length, 64 * KIB)
  assert.equal(stranger.mayReadAhead(), false)
  assert.equal(known.take(1024 * MIB).length, 256 * KIB)
  assert.equal(known.mayReadAhead(), true)
  for (const lane of [stranger, known]) lane.leave()
  assert.equal(buffers.moving, 0)
})

test('who stood still is a stranger until he has taken as much again', (t) => {
  let nowMs = 0
  t.mock.method(performance, 'now', () => nowMs)
  const buffers = crowded()
  let writtenBytes = 16 * MIB
  const lane = createLane(buffers, 1024 * MIB, () => writtenBytes)
  const chunk = (tookMs: number) => {
    const buffer = lane.take(1024 * MIB)
    lane.written()
    nowMs += tookMs
    lane.taken()
    buffers.give(buffer)
    writtenBytes += buffer.length
    return buffer.length
  }
  for (const tookMs of [1, 1, 1]) chunk(tookMs)
  assert.equal(chunk(251), MIB)
  const stoodAt = writtenBytes
  while (writtenBytes < stoodAt + 15 * MIB) assert.equal(chunk(1), 64 * KIB)
  while (writtenBytes < stoodAt + 24 * MIB) chunk(1)
  assert.equal(chunk(1), MIB)
  lane.leave()
})
