// The thread of threaded-digest.ts: does one order after the other. In JavaScript, because stripping types takes 20 MiB.
import { readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { createDigest } from './digests.js'

/** @import { Digest, DigestKind } from './digests.js' */
/** @import { Answer } from './thread.ts' */

/**
 * `id` names a digest that was begun. An update's chunk lies in shared memory; `read` takes the next bytes of a file that is
 * open in this process.
 *
 * @typedef {{ id: number } & (
 *   { do: 'begin', kind: DigestKind } | { do: 'update', chunk: Uint8Array } |
 *   { do: 'read', fd: number, bytes: number } | { do: 'finish' } | { do: 'drop' })} Order
 */

/** @typedef {string | number | null} Done */

const READ_BYTES = 1 << 20

/** @type {Map<number, Digest>} */
const digests = new Map()
/** @type {Buffer | null} */
let buffer = null

/**
 * @param {Order} order
 * @returns {Promise<Done>}
 */
async function carryOut(order) {
  if (order.do === 'begin') {
    digests.set(order.id, await createDigest(order.kind))
    return null
  }
  const digest = digests.get(order.id)
  if (order.do === 'drop' || order.do === 'finish') digests.delete(order.id)
  if (order.do === 'drop') return null
  if (digest === undefined) throw new Error(`no digest ${order.id} was begun`)
  if (order.do === 'finish') return digest.finish()
  if (order.do === 'read') return read(digest, order)
  digest.update(order.chunk)
  return null
}

/**
 * Nothing but digests waits for this thread, so it may block.
 *
 * @param {Digest} digest
 * @param {{ fd: number, bytes: number }} order
 */
function read(digest, { fd, bytes }) {
  buffer ??= Buffer.allocUnsafeSlow(READ_BYTES)
  let total = 0
  while (total < bytes) {
    const count = readSync(fd, buffer, 0, Math.min(READ_BYTES, bytes - total), null)
    if (count === 0) break
    digest.update(buffer.subarray(0, count))
    total += count
  }
  return total
}

/** @type {Promise<unknown>} */
let before = Promise.resolve()
parentPort?.on('message', (/** @type {(Order & { order: number })[]} */ orders) => {
  for (const order of orders)
    before = before.then(async () => {
      /** @type {Answer} */
      const answer = await carryOut(order).then(
        (done) => ({ order: order.order, done }),
        ({ message, code, errno }) => ({ order: order.order, failed: { message, code, errno } }),
      )
      // Whoever waits for it has the next bytes ready.
      parentPort?.postMessage([answer])
    })
})
