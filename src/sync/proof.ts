import { createHash, type Hash } from 'node:crypto'
import { createCRC64 } from 'hash-wasm'
import type { Bucket, ObjectFacts } from '../storage/bucket.ts'

/** The store's own digest that the bytes will be held against; null when it gives none that we can compute. */
export type ProofPlan =
  | { kind: 'crc64nvme'; expected: string }
  | { kind: 'md5'; expected: string }
  | { kind: 'md5-of-parts'; expected: string; partBytes: number }
  | null

/** Reflected polynomial of CRC-64/NVME, as hash-wasm takes it; its check value is ae8b14860a799888. */
const CRC64_NVME = '9a6c9329ac4bc9b5'

/**
 * Chooses the best digest that the store offers: a full-object CRC-64/NVME, the MD5 that a single-part ETag is, or the
 * MD5 over the parts' MD5s that a multipart ETag `…-N` is (AWS: "Checking object integrity"; the SDK skips those).
 */
export async function planProof(
  bucket: Bucket,
  key: string,
  { facts, signal }: { facts: ObjectFacts; signal: AbortSignal },
): Promise<ProofPlan> {
  if (facts.crc64nvme !== null) return { kind: 'crc64nvme', expected: facts.crc64nvme }
  if (/^[0-9a-f]{32}$/i.test(facts.etag)) return { kind: 'md5', expected: facts.etag.toLowerCase() }
  const parts = /^[0-9a-f]{32}-(\d{1,5})$/i.exec(facts.etag)
  if (parts === null) return null
  const partBytes = await bucket.partBytes(key, facts.etag, signal)
  if (partBytes === null || Math.ceil(facts.sizeBytes / partBytes) !== Number(parts[1])) return null
  return { kind: 'md5-of-parts', expected: facts.etag.toLowerCase(), partBytes }
}

/** Computes SHA-256 and the planned digest while bytes stream through. */
export interface Digests {
  update(chunk: Uint8Array): void
  /** `value` compares with the plan's `expected`. */
  finish(): { sha256: string; value: string | null }
}

export async function createDigests(plan: ProofPlan): Promise<Digests> {
  const sha256 = createHash('sha256')
  const other = await createPlanned(plan)
  return {
    update(chunk) {
      sha256.update(chunk)
      other?.update(chunk)
    },
    finish: () => ({ sha256: sha256.digest('hex'), value: other?.finish() ?? null }),
  }
}

interface Planned {
  update(chunk: Uint8Array): void
  finish(): string
}

async function createPlanned(plan: ProofPlan): Promise<Planned | null> {
  switch (plan?.kind) {
    case undefined:
      return null
    case 'crc64nvme': {
      const crc = await createCRC64(CRC64_NVME)
      return {
        update: (chunk) => void crc.update(chunk),
        finish: () => Buffer.from(crc.digest('binary')).toString('base64'),
      }
    }
    case 'md5': {
      const md5 = createHash('md5')
      return { update: (chunk) => void md5.update(chunk), finish: () => md5.digest('hex') }
    }
    case 'md5-of-parts':
      return createMd5OfParts(plan.partBytes)
  }
}

function createMd5OfParts(partBytes: number): Planned {
  const whole = createHash('md5')
  let part: Hash | null = null
  let inPart = 0
  let parts = 0
  const endPart = () => {
    if (part === null) return
    whole.update(part.digest())
    part = null
    inPart = 0
    parts += 1
  }
  return {
    update(chunk) {
      for (let from = 0; from < chunk.length; ) {
        part ??= createHash('md5')
        const piece = chunk.subarray(from, from + partBytes - inPart)
        part.update(piece)
        inPart += piece.length
        from += piece.length
        if (inPart === partBytes) endPart()
      }
    },
    finish() {
      endPart()
      return `${whole.digest('hex')}-${parts}`
    },
  }
}
