import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { AppError } from '../errors.ts'

export interface BodyRules {
  /** What the headers promised. */
  sizeBytes: number
  stallMs: number
  signal: AbortSignal | null
  /** Begins the error's sentence: which object of which bucket. */
  subject: string
}

/**
 * Node reads each 64 KiB into a buffer of its own, and V8 lets 64 MiB of those that were read and dropped pile up: it does
 * not see their size. A minor collection at every so many bytes costs a millisecond and keeps a process small.
 */
const COLLECT_EVERY_BYTES = 4 << 20

/**
 * Makes a body that cannot hang, end early or leak: no byte for `stallMs` while somebody reads ⇒ TRANSFER_STALLED,
 * another length than promised or a broken connection ⇒ TRANSFER_BROKEN, the signal ⇒ CANCELLED; each destroys the
 * raw socket.
 *
 * The SDK's own time-outs end at the headers (aws-sdk-js-v3 8098); `test/storage/s3.test.ts` has a mute peer.
 */
export function guardBody(source: IncomingMessage, rules: BodyRules): Readable {
  const { sizeBytes, stallMs, signal, subject } = rules
  let received = 0
  let collectAt = COLLECT_EVERY_BYTES
  let timer: NodeJS.Timeout | null = null

  const fail = (code: 'TRANSFER_STALLED' | 'TRANSFER_BROKEN' | 'CANCELLED', what: string) =>
    body.destroy(new AppError(code, `${subject} ${what}`))
  const onStall = () => fail('TRANSFER_STALLED', `sent no byte for ${stallMs} ms`)
  const onAbort = () => fail('CANCELLED', 'was no longer wanted')
  const onBreak = () => {
    // The abort destroys the request first, which looks like a broken connection from here.
    if (signal?.aborted) onAbort()
    else fail('TRANSFER_BROKEN', `broke off after ${received} of ${sizeBytes} bytes`)
  }
  /** Only a reader's wait counts: a slow disk must not look like a mute peer. */
  const startWaiting = () => {
    timer ??= setTimeout(onStall, stallMs)
  }
  const stopWaiting = () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
  }

  const body = new Readable({
    highWaterMark: 1 << 20,
    read() {
      startWaiting()
      source.resume()
    },
    destroy(error, done) {
      stopWaiting()
      signal?.removeEventListener('abort', onAbort)
      // After its end the socket may serve another request already.
      if (!source.readableEnded) {
        source.destroy() // and its socket with it
      }
      done(error)
    },
  })

  // It may break before anybody reads it; the reader is told when it comes.
  body.on('error', () => {})
  source.pause()
  source.on('data', (chunk: Buffer) => {
    received += chunk.length
    stopWaiting()
    if (received >= collectAt) {
      collectAt += COLLECT_EVERY_BYTES
      globalThis.gc?.({ type: 'minor' }) // there with --expose-gc, as bin/strongroom starts it
    }
    const more = body.push(chunk)
    // A reader may have given up while it looked at this chunk.
    if (body.destroyed) return
    if (more) startWaiting()
    else source.pause()
  })
  source.on('end', () => {
    stopWaiting()
    if (received === sizeBytes) body.push(null)
    else onBreak()
  })
  source.on('error', onBreak)
  source.on('close', () => {
    if (!source.readableEnded) onBreak()
  })
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  return body
}
