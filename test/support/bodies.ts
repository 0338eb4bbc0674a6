import type { Body } from '../../src/storage/bucket.ts'
import { type BodySource, type GuardedBody, guardBody } from '../../src/storage/guarded-body.ts'

/** All of a body. */
export async function bytesOf(body: Body): Promise<Buffer> {
  const read: Buffer[] = []
  await body.drain({ take: (chunk) => void read.push(Buffer.from(chunk)) })
  return Buffer.concat(read)
}

/** A body of these chunks. */
export function bodyOfChunks(chunks: readonly Uint8Array[]): Body {
  return {
    async drain(sink) {
      for (const chunk of chunks) await sink.take(chunk)
    },
    destroy() {},
  }
}

/** A body that a test feeds by hand; `told` is what was asked of its source. */
export function bodyByHand(sizeBytes: number): GuardedBody & { told: (keyof BodySource)[] } {
  const told: (keyof BodySource)[] = []
  const source = {
    resume: () => void told.push('resume'),
    destroy: () => void told.push('destroy'),
    release: () => void told.push('release'),
  }
  const rules = { sizeBytes, stallMs: 1000, signal: null, subject: 'the object' }
  return { ...guardBody(source, rules), told }
}
