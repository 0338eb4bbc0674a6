import type { IncomingMessage } from 'node:http'
import type { Body } from './bucket.ts'
import { type BodyRules, guardBody } from './guarded-body.ts'

/**
 * Node reads each 64 KiB into a buffer of its own, and V8 lets 64 MiB of those that were read and dropped pile up: it does
 * not see their size. A minor collection at every so many bytes costs a millisecond and keeps a process small.
 */
const COLLECT_EVERY_BYTES = 4 << 20

/** The body of an answer that `node:http` reads. */
export function bodyOf(source: IncomingMessage, rules: BodyRules): Body {
  let received = 0
  let collectAt = COLLECT_EVERY_BYTES
  const body = guardBody(
    {
      resume: () => source.resume(),
      destroy() {
        // After its end the socket may serve another request already.
        if (!source.readableEnded) source.destroy() // and its socket with it
      },
      release() {},
    },
    rules,
  )
  source.pause()
  source.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (received >= collectAt) {
      collectAt += COLLECT_EVERY_BYTES
      globalThis.gc?.({ type: 'minor' }) // there with --expose-gc, as bin/strongroom starts it
    }
    if (!body.data(chunk)) source.pause()
  })
  source.on('end', body.end)
  source.on('error', body.broke)
  source.on('close', () => {
    if (!source.readableEnded) body.broke()
  })
  return body
}
