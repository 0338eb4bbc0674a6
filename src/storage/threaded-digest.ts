import type { Order } from './digest-thread.js'
import type { DigestKind } from './digests.js'
import { openThread } from './thread.ts'

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

/** One, because each takes 15 MiB: beside the main thread, which does the rest. */
const thread = openThread<Order>(new URL('./digest-thread.js', import.meta.url))
let lastId = 0

/** Before there is anything to hash: it takes 40 ms to come up, in which a large object would wait. */
export function startDigestThread(): void {
  thread.start()
}

export function digestInThread(kind: DigestKind): ThreadedDigest {
  const { ask } = thread
  lastId += 1
  const id = lastId
  // Nobody waits until the thread runs: where this fails, all that it is asked for of this digest fails, too.
  void ask({ do: 'begin', id, kind }).catch(() => {})
  return {
    update: async (chunk) => void (await ask({ do: 'update', id, chunk })),
    read: async (fd, bytes) => Number(await ask({ do: 'read', id, fd, bytes })),
    finish: async () => String(await ask({ do: 'finish', id })),
    drop: () => void ask({ do: 'drop', id }).catch(() => {}), // gone with its thread
  }
}
