import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { createRoom, type MakeRoom, type SpaceChange } from '../../src/sync/room.ts'
import type { SpaceState } from '../../src/sync/space.ts'
import { listeningLog } from '../support/worker.ts'

const state: SpaceState = {
  freeBytes: 5,
  totalBytes: 100,
  reservedBytes: 0,
  minBytes: 10,
  neededBytes: 0,
  low: true,
}
const roomy = { ...state, freeBytes: 20, low: false }
const tooLow = new AppError('DISK_LOW', 'too low')

function withRoom({ makeRoom = (async () => {}) as MakeRoom } = {}) {
  const changes: SpaceChange[] = []
  const { log, lines } = listeningLog()
  const at: { first: SpaceState | Error; second: SpaceState } = { first: state, second: roomy }
  const first = async () => {
    if (at.first instanceof Error) throw at.first
    return at.first
  }
  const spaces = [{ state: first }, { state: async () => at.second }]
  const changed = (change: SpaceChange) => changes.push(change)
  return { at, changes, lines, room: createRoom({ spaces, changed, makeRoom, log }) }
}

test('a wait for room is said once, and so is its end', async () => {
  const { at, changes, lines, room } = withRoom()
  room.ended(tooLow)
  assert.equal(await room.isBack(), false)
  assert.equal(await room.isBack(), false)
  at.first = new AppError('DISK_SICK', 'away')
  assert.equal(await room.isBack(), false)
  at.first = roomy
  assert.equal(await room.isBack(), true)
  assert.equal(await room.isBack(), false)
  assert.deepEqual(changes, [
    { low: true, freeBytes: 5, minBytes: 10 },
    { low: false, freeBytes: 20, minBytes: 10 },
  ])
  const said = lines.filter(({ level }) => level !== 'debug').map(({ message }) => message)
  assert.deepEqual(said, ['waiting for room on the disk', 'there is room on the disk again'])
})

test('room is waited for only where it stopped the last run', async () => {
  const { changes, room } = withRoom()
  assert.equal(await room.isBack(), false)
  room.ended(new AppError('BUCKET_UNAVAILABLE', 'away'))
  assert.equal(await room.isBack(), false)
  room.ended(null)
  assert.equal(await room.isBack(), false)
  assert.deepEqual(changes, [])
})

test('room that is there at once is not spoken of', async () => {
  const { at, changes, room } = withRoom()
  at.first = roomy
  room.ended(tooLow)
  assert.equal(await room.isBack(), true)
  assert.deepEqual(changes, [])
})

test('a run that went well meanwhile leaves the end of the wait to be said', async () => {
  const { at, changes, room } = withRoom()
  room.ended(tooLow)
  await room.isBack()
  room.ended(null)
  at.first = roomy
  assert.equal(await room.isBack(), false, 'nothing waits for it')
  assert.deepEqual(
    changes.map(({ low }) => low),
    [true, false],
  )
})

test('what may go is removed before anything is said', async () => {
  const scene = withRoom({
    makeRoom: async () => {
      scene.at.first = roomy
    },
  })
  scene.room.ended(tooLow)
  assert.equal(await scene.room.isBack(), true)
  assert.deepEqual(scene.changes, [])
})

test('room is made where the disk refuses a write although bytes are free, and the next try tells', async () => {
  const asked: Parameters<MakeRoom>[] = []
  const makeRoom: MakeRoom = async (...all) => void asked.push(all)
  const { at, changes, room } = withRoom({ makeRoom })
  at.first = roomy
  room.ended(new AppError('DISK_FULL', 'the quota is used up'))
  assert.equal(await room.isBack(), false)
  assert.equal(await room.isBack(), false)
  assert.deepEqual([asked, changes], [[[{ refused: true, helped: false }]], []])
  room.ended(null, 3)
  for (const _ of 'ab') {
    room.ended(new AppError('DISK_FULL', 'the quota is used up'))
    await room.isBack()
  }
  const helped = asked.slice(1).map(([how]) => how?.helped)
  assert.deepEqual(helped, [true, false], 'what was archived since tells that it helped')
})

test('a disk that is full is waited for', async () => {
  const { at, room } = withRoom()
  room.ended(new AppError('DISK_FULL', 'no space is left'))
  assert.equal(await room.isBack(), false)
  at.first = roomy
  assert.equal(await room.isBack(), true)
})

test('a disk beside that has too little room is waited for, too', async () => {
  const { at, room } = withRoom()
  at.first = roomy
  at.second = state
  room.ended(tooLow)
  assert.equal(await room.isBack(), false)
  at.second = roomy
  assert.equal(await room.isBack(), true)
})
