import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What an operation has to say; one place sends it, and spoils it when a test wants that. */
export interface Answer {
  status: number
  headers: Record<string, string | number>
  /** Text is a document; anything else streams exactly `sizeBytes`. Absent for HEAD. */
  body?: string | StreamedBody
}

export interface StreamedBody {
  sizeBytes: number
  chunks: AsyncIterable<Buffer>
  close(): Promise<void>
}

/** A misfortune for one request. Byte counts are of the body. */
export type Fault =
  /** Answers this instead of doing anything. `text` replaces the XML, as a proxy's page would. */
  | { kind: 'answer'; status: number; code: string; message?: string; text?: string }
  /** Waits before doing anything; a promise that never settles is a mute server. */
  | { kind: 'delay'; until: Promise<unknown>; then?: Fault }
  /** Closes the connection without doing anything. */
  | { kind: 'drop' }
  /** Does what was asked, then closes the connection without a word. */
  | { kind: 'lose-answer' }
  | { kind: 'reset'; afterBytes: number }
  /** An orderly end of the connection before Content-Length is reached. */
  | { kind: 'truncate'; afterBytes: number }
  /** Sends no more but keeps the connection. */
  | { kind: 'stall'; afterBytes: number }
  | { kind: 'flip'; atByte: number }
  /** Answers a range with the whole object, as a store may that knows none. */
  | { kind: 'whole' }
  /** Sends these headers whatever is true, for example a wrong Content-Range. */
  | { kind: 'headers'; headers: Record<string, string> }

type Cut = Extract<Fault, { afterBytes: number }>

/**
 * Sends `answer`, spoilt by `fault`; returns when the client has it or the connection is gone.
 *
 * @param onSent told of the body's bytes as they leave
 */
export async function sendAnswer(
  res: ServerResponse,
  answer: Answer,
  { fault, onSent }: { fault: Fault | undefined; onSent: (bytes: number) => void },
): Promise<void> {
  const { body } = answer
  try {
    if (fault?.kind === 'lose-answer') {
      res.destroy()
      return
    }
    res.statusCode = answer.status
    const ordered = fault?.kind === 'headers' ? fault.headers : {}
    for (const [name, value] of Object.entries({ ...answer.headers, ...ordered })) {
      res.setHeader(name, value) // knows names in any case, so the last one holds
    }
    const cut = fault !== undefined && 'afterBytes' in fault ? fault : undefined
    const flipAt = fault?.kind === 'flip' ? fault.atByte : null
    if (body !== undefined) {
      const chunks = typeof body === 'string' ? [Buffer.from(body)] : body.chunks
      await write(res, spoilt(chunks, { flipAt, cutAt: cut?.afterBytes ?? null }), onSent)
    }
    if (cut === undefined) res.end()
    else await breakOff(res, cut)
  } finally {
    if (typeof body === 'object') await body.close()
  }
}

async function write(
  res: ServerResponse,
  chunks: AsyncIterable<Buffer>,
  onSent: (bytes: number) => void,
): Promise<void> {
  for await (const chunk of chunks) {
    if (res.destroyed) return
    onSent(chunk.length)
    if (!res.write(chunk)) await drained(res)
  }
}

/** Resolves when more may be written, or never will be. */
function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off('drain', done).off('close', done)
      resolve()
    }
    res.on('drain', done).on('close', done)
  })
}

async function* spoilt(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  { flipAt, cutAt }: { flipAt: number | null; cutAt: number | null },
): AsyncGenerator<Buffer> {
  let at = 0
  for await (const chunk of chunks) {
    const end = at + chunk.length
    let bytes = chunk
    if (flipAt !== null && flipAt >= at && flipAt < end) {
      bytes = Buffer.from(chunk) // the original may be shared
      bytes.writeUInt8(bytes.readUInt8(flipAt - at) ^ 1, flipAt - at)
    }
    if (cutAt !== null && end >= cutAt) {
      yield bytes.subarray(0, cutAt - at)
      return
    }
    yield bytes
    at = end
  }
}

async function breakOff(res: ServerResponse, { kind }: Cut): Promise<void> {
  const { socket } = res
  if (socket === null || socket.destroyed) return
  res.flushHeaders()
  await flushed(socket)
  if (kind === 'reset') socket.resetAndDestroy()
  else if (kind === 'truncate') socket.destroySoon()
  else if (!socket.destroyed) await once(socket, 'close')
}

/** Resolves when everything written so far was handed to the kernel. */
function flushed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.write('', () => resolve()))
}
