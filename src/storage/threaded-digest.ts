import { Worker } from 'node:worker_threads'
import { AppError } from '../errors.ts'
import type { Answer, Done, Order } from './digest-thread.js'
import type { DigestKind } from './digests.js'

/** A digest that is computed beside everything else. */
export interface ThreadedDigest {
  /** The chunk lies in shared memory, and stays as it is until this resolves. In the order of the calls. */
  update(chunk: Uint8Array): Promise<void>
  /** The next `bytes` of an open file, from where it stands. @returns how many there were */
  read(fd: number, bytes: number): Promise<number>
  /** As `createDigest` writes it. */
  finish(): Promise<string>
  /** For one that is not finished. */
  drop(): void
}

type OrderBody = Order extends infer One ? (One extends Order ? Omit<One, 'order'> : never) : never

interface Thread {
  ask(order: OrderBody): Promise<Done>
}

/** One, because each takes 15 MiB: beside the main thread, which does the rest. Started at first use; it ends with the process. */
let thread: Thread | null = null
let lastId = 0

export async function digestInThread(kind: DigestKind): Promise<ThreadedDigest> {
  thread ??= startThread(() => {
    thread = null
  })
  const { ask } = thread
  lastId += 1
  const id = lastId
  await ask({ do: 'begin', id, kind })
  return {
    update: async (chunk) => void (await ask({ do: 'update', id, chunk })),
    read: async (fd, bytes) => Number(await ask({ do: 'read', id, fd, bytes })),
    finish: async () => String(await ask({ do: 'finish', id })),
    drop: () => void ask({ do: 'drop', id }).catch(() => {}), // gone with its thread
  }
}

function startThread(onEnd: () => void): Thread {
  const worker = new Worker(new URL('./digest-thread.js', import.meta.url), {
    // It needs neither our settings nor room for garbage.
    env: {},
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
  })
  const waiting = new Map<number, PromiseWithResolvers<Done>>()
  let last = 0
  worker.unref()
  worker.on('message', (answer: Answer) => {
    const asked = waiting.get(answer.order)
    waiting.delete(answer.order)
    if (waiting.size === 0) worker.unref()
    if ('failed' in answer) asked?.reject(answer.failed)
    else asked?.resolve(answer.done)
  })
  const end = (cause?: unknown) => {
    onEnd()
    const error = new AppError('INTERNAL', 'the thread that computes digests ended', { cause })
    for (const asked of waiting.values()) asked.reject(error)
    waiting.clear()
  }
  worker.on('error', end)
  worker.on('exit', () => end())
  return {
    ask(order) {
      last += 1
      const asked = Promise.withResolvers<Done>()
      waiting.set(last, asked)
      // The process must not end while somebody waits.
      worker.ref()
      worker.postMessage({ ...order, order: last })
      return asked.promise
    },
  }
}
