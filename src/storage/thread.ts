import { basename } from 'node:path'
import { Worker } from 'node:worker_threads'
import { AppError } from '../errors.ts'

/** What a system call in a thread failed with; an Error that is sent loses all but its message. */
export interface Failure {
  message: string
  code: string
  errno: number
}

/** Told by a thread of each order that it got, by the order's number; several come in one message, as the orders do. */
export type Answer = { order: number; done: unknown } | { order: number; failed: Failure }

/** A program that runs beside everything else, in this process. */
export interface Thread<Order extends object> {
  /** Starts it although nothing is asked of it yet. */
  start(): void
  /** @throws an Error that has what {@link Failure} has, and whatever else the program says of its failure */
  ask(order: Order): Promise<unknown>
}

/** All that run now. */
const running = new Set<Worker>()

/** Ends all threads, for whoever forks this process, which takes none of them along. The next order starts its thread anew. */
export async function endThreads(): Promise<void> {
  for (const worker of running) await worker.terminate()
}

/**
 * It is started at the first order, or before, and ends with the process, which it does not keep alive while nobody waits for
 * it. One that ended before is started anew. What is asked for in one turn of the event loop is one message: to send one, and to wake
 * the other side, takes longer than most of what is asked for.
 *
 * @param program in JavaScript, because stripping types takes 20 MiB
 */
export function openThread<Order extends object>(program: URL): Thread<Order> {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let worker: Worker | null = null
  let last = 0
  let unsent: (Order & { order: number })[] = []
  const end = (cause?: unknown) => {
    worker = null
    unsent = []
    const error = new AppError('INTERNAL', `the thread of ${basename(program.pathname)} ended`, {
      cause,
    })
    for (const asked of waiting.values()) asked.reject(error)
    waiting.clear()
  }
  const take = (from: Worker, answers: readonly Answer[]) => {
    for (const answer of answers) {
      const asked = waiting.get(answer.order)
      waiting.delete(answer.order)
      if ('done' in answer) asked?.resolve(answer.done)
      else asked?.reject(Object.assign(new Error(answer.failed.message), answer.failed))
    }
    if (waiting.size === 0) from.unref()
  }
  const send = () => {
    if (unsent.length > 0) worker?.postMessage(unsent)
    unsent = []
  }
  const start = (): Worker => {
    const started = new Worker(program, {
      // It needs neither our settings nor room for garbage.
      env: {},
      // What it opens the other side may close, and the number be another file's when the thread ends.
      trackUnmanagedFds: false,
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    })
    started.on('message', (answers: Answer[]) => take(started, answers))
    started.on('error', end)
    running.add(started)
    started.on('exit', () => {
      running.delete(started)
      if (worker === started) end()
    })
    return started
  }
  return {
    start() {
      if (worker !== null) return
      worker = start()
      worker.unref()
    },
    ask(order) {
      worker ??= start()
      last += 1
      const asked = Promise.withResolvers<unknown>()
      waiting.set(last, asked)
      // The process must not end while somebody waits.
      if (waiting.size === 1) worker.ref()
      if (unsent.push({ ...order, order: last }) === 1) setImmediate(send)
      return asked.promise
    },
  }
}
