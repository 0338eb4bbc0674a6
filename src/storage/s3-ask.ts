import { type Asked, cancelled, judge, notS3 } from './s3-errors.ts'
import { askedFor, type Link } from './s3-link.ts'
import { send, textOf } from './s3-request.ts'
import type { Sdk } from './s3-sdk.ts'

export const NO_LISTING = 'something that is no listing'

/** What ends a request before its answer is there. */
export interface Abort {
  abortSignal: AbortSignal
}

/** Sends one request under a deadline and turns whatever goes wrong into the AppError it means. */
export async function ask<Output>(
  link: Link,
  asked: Asked & { signal?: AbortSignal | undefined; withinMs?: number | undefined },
  request: (abort: Abort) => Promise<Output>,
): Promise<Output> {
  const { signal, withinMs = link.requestTimeoutMs } = asked
  if (signal?.aborted) throw cancelled(asked)
  const controller = new AbortController()
  // The SDK reads an error's body to its end without any limit of its own.
  const deadline = setTimeout(() => controller.abort(late()), withinMs)
  const forward = () => controller.abort()
  signal?.addEventListener('abort', forward, { once: true })
  try {
    return await request({ abortSignal: controller.signal })
  } catch (error) {
    if (signal?.aborted) throw cancelled(asked)
    const verdict = judge(controller.signal.aborted ? late() : error, asked)
    // A key's 403 or 404 says nothing about the bucket; if that fails too, its error is the truth.
    if (verdict.unsure) await check(link, signal)
    link.onError(verdict.error.code)
    throw verdict.error
  } finally {
    clearTimeout(deadline)
    signal?.removeEventListener('abort', forward)
  }
}

/** The same with the SDK. */
export function askSdk<Output>(
  link: Link,
  asked: Parameters<typeof ask>[1],
  request: (sdk: Sdk, abort: Abort) => Promise<Output>,
): Promise<Output> {
  return ask(link, asked, async (abort) => request(await link.sdk(), abort))
}

/** A listing of one key, because unlike HEAD its refusal has a body that says why. */
export async function check(link: Link, signal?: AbortSignal): Promise<void> {
  const asked = askedFor(link)
  const question = {
    method: 'GET',
    key: null,
    query: 'list-type=2&max-keys=1',
    headers: {},
  } as const
  const text = await ask(link, { ...asked, signal }, async ({ abortSignal }) =>
    textOf(await send(link, question, abortSignal)),
  )
  if (!/<ListBucketResult[\s>]/.test(text)) throw notS3(asked, NO_LISTING)
}

function late(): DOMException {
  return new DOMException('deadline', 'TimeoutError')
}
