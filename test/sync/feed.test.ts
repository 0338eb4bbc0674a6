import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFeed } from '../../src/sync/feed.ts'

/** Claims that are answered when they are told to. */
function heldClaims(isOver: () => boolean = () => false) {
  const claims: PromiseWithResolvers<number[]>[] = []
  const feed = createFeed(() => {
    const claim = Promise.withResolvers<number[]>()
    claims.push(claim)
    return claim.promise
  }, isOver)
  return { claims, feed }
}

test('more is claimed as soon as nobody’s is left, once for all who wait for it', async () => {
  const { claims, feed } = heldClaims()
  const first = [feed(), feed(), feed()]
  claims[0]?.resolve([1, 2])
  assert.deepEqual(await Promise.all(first.slice(0, 2)), [1, 2])
  assert.equal(claims.length, 2, 'the third one waits for nobody’s end')
  claims[1]?.resolve([3, 4])
  assert.equal(await first[2], 3)
  assert.equal(await feed(), 4)
  assert.equal(claims.length, 2)
})

test('an empty claim is the end for all', async () => {
  const { claims, feed } = heldClaims()
  const lanes = [feed(), feed()]
  claims[0]?.resolve([])
  assert.deepEqual(await Promise.all(lanes), [undefined, undefined])
  assert.equal(await feed(), undefined)
  assert.equal(claims.length, 1)
})

test('a claim that fails is told to all who wait for it', async () => {
  const { claims, feed } = heldClaims()
  const lanes = [feed(), feed()]
  claims[0]?.reject(new Error('no database'))
  for (const lane of lanes) await assert.rejects(lane, /no database/)
})

test('what was claimed when it is over comes all the same, and no more is claimed', async () => {
  let isOver = false
  const { claims, feed } = heldClaims(() => isOver)
  const first = feed()
  claims[0]?.resolve([1, 2])
  assert.equal(await first, 1)
  isOver = true
  assert.deepEqual([await feed(), await feed()], [2, undefined])
  assert.equal(claims.length, 1)
})
