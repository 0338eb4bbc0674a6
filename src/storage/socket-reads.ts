import type { OnReadOpts } from 'node:net'

/** What becomes of the bytes that arrive. @returns false: stop reading */
export type Receive = (chunk: Uint8Array) => boolean

/** What is read from one socket, into memory that is used again: one chunk after the other, and none while it is stopped. */
export interface Reads {
  /** For `connect`. */
  onread: OnReadOpts
  /** Gives what came while it was stopped. @returns true: the socket is to be read on */
  goOn(): boolean
  /** Gives this again before anything else, after the next `goOn`. */
  putBack(chunk: Uint8Array): void
  /** Something came, or was put back, that was not given yet. */
  readonly hasMore: boolean
}

/** One read of the socket, where nobody lends it other memory. */
const READ_BYTES = 64 << 10

/**
 * A socket of TLS does not stop at once: all that it has decrypted comes in the same turn, whatever the callback returned
 * (`TLSWrap::ClearOut` does not look), while the chunk before may not be taken yet, nor the memory free that it lies in.
 *
 * @param told.receive is given each chunk, whose memory is used again once it returned true, or after `goOn`
 * @param told.lent where the next chunk would better arrive
 */
export function createReads(
  told: { receive: Receive; lent: () => Uint8Array | undefined },
  { isSecure }: { isSecure: boolean },
): Reads {
  const own = Buffer.allocUnsafeSlow(READ_BYTES)
  const aside = isSecure ? Buffer.allocUnsafeSlow(READ_BYTES) : own
  /** In which the chunk lies that was given last. */
  let memory: Uint8Array | null = null
  let isStopped = false
  let late: Uint8Array[] = []

  const give = (chunk: Uint8Array) => {
    isStopped = !told.receive(chunk)
    return !isStopped
  }
  return {
    onread: {
      // Asked after each callback, also after one that returned false. What is late comes first into what is lent.
      buffer: () => (late.length === 0 ? told.lent() : undefined) ?? (memory === own ? aside : own),
      callback(bytes, into) {
        const chunk = into.subarray(0, bytes)
        if (isStopped) {
          late.push(Buffer.from(chunk))
          return false
        }
        memory = into
        return give(chunk)
      },
    },
    goOn() {
      isStopped = false
      for (let chunk = late.shift(); chunk !== undefined; chunk = late.shift())
        if (!give(chunk)) return false
      return true
    },
    putBack(chunk) {
      if (chunk.byteLength > 0) late = [chunk, ...late]
    },
    get hasMore() {
      return late.length > 0
    },
  }
}
