// In JavaScript, because a thread that strips types takes 20 MiB more (digest-thread.js).
import { createHash } from 'node:crypto'

/**
 * What can be computed of bytes that come one after the other; plain data, so that a thread can be told of it.
 * `md5-of-parts` is the MD5 of the parts' MD5s, as stores make a multipart ETag.
 *
 * @typedef {{ kind: 'sha256' } | { kind: 'crc64nvme' } | { kind: 'md5' } | { kind: 'md5-of-parts', partBytes: number }} DigestKind
 */

/**
 * `finish` gives hex; base64 of a CRC-64; with `-N` behind it of parts: each as stores write it.
 *
 * @typedef {{ update(chunk: Uint8Array): void, finish(): string }} Digest
 */

/** Reflected polynomial of CRC-64/NVME, as hash-wasm takes it; its check value is ae8b14860a799888. */
const CRC64_NVME = '9a6c9329ac4bc9b5'

/**
 * @param {DigestKind} wanted
 * @returns {Promise<Digest>}
 */
export async function createDigest(wanted) {
  switch (wanted.kind) {
    case 'crc64nvme':
      return createCrc64()
    case 'sha256':
    case 'md5': {
      const hash = createHash(wanted.kind)
      return { update: (chunk) => void hash.update(chunk), finish: () => hash.digest('hex') }
    }
    case 'md5-of-parts':
      return createMd5OfParts(wanted.partBytes)
  }
}

/** @returns {Promise<Digest>} */
async function createCrc64() {
  const { createCRC64 } = await import('hash-wasm')
  const crc = await createCRC64(CRC64_NVME)
  return {
    update: (chunk) => void crc.update(chunk),
    finish: () => Buffer.from(crc.digest('binary')).toString('base64'),
  }
}

/**
 * @param {number} partBytes
 * @returns {Digest}
 */
function createMd5OfParts(partBytes) {
  const whole = createHash('md5')
  let part = createHash('md5')
  let inPart = 0
  let parts = 0
  const endPart = () => {
    whole.update(part.digest())
    part = createHash('md5')
    inPart = 0
    parts += 1
  }
  return {
    update(chunk) {
      for (let from = 0; from < chunk.length; ) {
        const piece = chunk.subarray(from, from + partBytes - inPart)
        part.update(piece)
        inPart += piece.length
        from += piece.length
        if (inPart === partBytes) endPart()
      }
    },
    finish() {
      if (inPart > 0) endPart()
      return `${whole.digest('hex')}-${parts}`
    },
  }
}
