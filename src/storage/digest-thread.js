// The thread of threaded-digest.ts: does one order after the other. In JavaScript, because stripping types takes 20 MiB.
import { read as readNow } from 'node:fs'
import { promisify } from 'node:util'
import { parentPort } from 'node:worker_threads'
import { newPages } from '../pages.js'
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
/** One is read into while the other is hashed; reading past the page cache wants pages. @type {readonly [Buffer, Buffer] | null} */
let buffers = null
const readInto = promisify(readNow)

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
 * @param {Digest} digest
 * @param {{ fd: number, bytes: number }} order
 */
async function read(digest, { fd, bytes }) {
  buffers ??= [newPages(READ_BYTES), newPages(READ_BYTES)]
  let [buffer, other] = buffers
  let total = 0
  let { bytesRead } = await readInto(fd, buffer, 0, Math.min(READ_BYTES, bytes), null)
  while (bytesRead > 0) {
    total += bytesRead
    const next = readInto(fd, other, 0, Math.min(READ_BYTES, bytes - total), null)
    digest.update(buffer.subarray(0, bytesRead))
    ;[buffer, other] = [other, buffer]
    bytesRead = (await next).bytesRead
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
