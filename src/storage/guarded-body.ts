import { AppError } from '../errors.ts'
import type { Body, Sink } from './bucket.ts'

export interface BodyRules {
  /** What the headers promised. */
  sizeBytes: number
  stallMs: number
  signal: AbortSignal | null
  /** Begins the error's sentence: which object of which bucket. */
  subject: string
}

/** What a body is read from; nothing is read before the first `resume`. */
export interface BodySource {
  /** Reads on, until `data` returns false. */
  resume(): void
  /** Closes the connection. */
  destroy(): void
  /** All of it was taken: what held the last chunk may be used again. */
  release(): void
}

export interface GuardedBody extends Body {
  /** @returns false: nothing more is wanted until `resume` */
  data(chunk: Uint8Array): boolean
  /** Where the sink would like the next chunk to arrive; undefined: anywhere. */
  room(): Uint8Array | undefined
  /** All has come that the source had. */
  end(): void
  /** The source cannot go on. */
  broke(): void
}

/**
 * Makes a body that cannot hang, end early or leak: no byte for `stallMs` while somebody reads ⇒ TRANSFER_STALLED,
 * another length than promised or a broken connection ⇒ TRANSFER_BROKEN, the signal ⇒ CANCELLED; each destroys the
 * connection. What has gone wrong is told once the reader has taken what it was given last.
 *
 * The time-outs of clients end at the headers (aws-sdk-js-v3 8098); `test/storage/s3.test.ts` has a mute peer.
 */
export function guardBody(source: BodySource, rules: BodyRules): GuardedBody {
  const { sizeBytes, stallMs, signal, subject } = rules
  const outcome = Promise.withResolvers<void>()
  // It may break before anybody reads it; the reader is told when it comes.
  outcome.promise.catch(() => {})
  let sink: Sink | null = null
  let taken: Promise<void> | undefined
  let received = 0
  let isOver = false
  let timer: NodeJS.Timeout | null = null

  const settle = (failure: { error: unknown } | null) => {
    if (isOver) return
    isOver = true
    stopWaiting()
    signal?.removeEventListener('abort', onAbort)
    if (failure !== null) source.destroy()
    const tell = () => {
      if (failure !== null) return outcome.reject(failure.error)
      source.release()
      outcome.resolve()
    }
    const refuse = (error: unknown) => {
      source.destroy()
      outcome.reject(error)
    }
    if (taken === undefined) tell()
    else taken.then(tell, refuse)
  }
  const fail = (code: 'TRANSFER_STALLED' | 'TRANSFER_BROKEN' | 'CANCELLED', what: string) =>
    settle({ error: new AppError(code, `${subject} ${what}`) })
  const onAbort = () => fail('CANCELLED', 'was no longer wanted')
  const broke = () => {
    // The abort destroys the request first, which looks like a broken connection from here.
    if (signal?.aborted) onAbort()
    else fail('TRANSFER_BROKEN', `broke off after ${received} of ${sizeBytes} bytes`)
  }
  /** Only a reader's wait counts: a slow disk must not look like a mute peer. */
  const startWaiting = () => {
    timer ??= setTimeout(() => fail('TRANSFER_STALLED', `sent no byte for ${stallMs} ms`), stallMs)
  }
  const stopWaiting = () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
  }
  const goOn = () => {
    taken = undefined
    if (isOver) return
    startWaiting()
    source.resume()
  }
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  return {
    data(chunk) {
      if (isOver || sink === null) return false
      received += chunk.byteLength
      stopWaiting()
      try {
        taken = sink.take(chunk)
      } catch (error) {
        settle({ error })
        return false
      }
      // A reader may have given up while it looked at this chunk.
      if (isOver) return false
      if (taken === undefined) {
        startWaiting()
        return true
      }
      taken.then(goOn, (error: unknown) => settle({ error }))
      return false
    },
    end: () => (received === sizeBytes ? settle(null) : broke()),
    broke,
    room() {
      if (isOver) return undefined
      try {
        return sink?.room?.()
      } catch (error) {
        settle({ error })
        return undefined
      }
    },
    drain(given) {
      sink = given
      if (!isOver) goOn()
      return outcome.promise
    },
    destroy: onAbort,
  }
}
