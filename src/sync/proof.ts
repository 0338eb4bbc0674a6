import type { Bucket, ObjectFacts } from '../storage/bucket.ts'

/** The store's own digest that the bytes will be held against; null when it gives none that we can compute. */
export type ProofPlan =
  | { kind: 'crc64nvme'; expected: string }
  | { kind: 'md5'; expected: string }
  | { kind: 'md5-of-parts'; expected: string; partBytes: number }
  | null

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
