import { createHash } from 'node:crypto'
import { AppError } from '../../src/errors.ts'
import type { Bucket, ObjectFacts } from '../../src/storage/bucket.ts'
import { bodyOfChunks } from '../support/bodies.ts'
import type { Gate } from './gate.ts'
import type { ItemRecord } from './sim-tables.ts'

/** One upload; its bytes never change. */
export interface Version {
  key: string
  bytes: Buffer
  etag: string
  versionId: string
  lastModified: number
}

/** One DELETE that removed a version, and what the database said of it at that instant. */
export interface Deletion {
  key: string
  versionId: string
  etag: string
  by: string
  items: Pick<ItemRecord, 'id' | 'state' | 'leaseOwner' | 'leaseUntil'>[]
  nowMs: number
}

/** What the store holds, and a record of every version and every deletion that nobody can rewrite. */
export interface BucketState {
  live: Map<string, Version>
  uploaded: Version[]
  deletions: Deletion[]
  /** Mode A: a DELETE with If-Match is conditional. Mode C: the condition is ignored. */
  honoursIfMatch: boolean
  /** An ETag looks like an MD5 and is none (SSE-KMS). */
  opaqueEtags: boolean
  /** What the way to the store does to the next downloads, each once. */
  flaws: ('cut' | 'flip')[]
  /** How many were corrupted, each in another bit: a store without checksums cannot show what is spoilt alike twice. */
  flips: number
}

export function emptyBucket(
  options: Pick<BucketState, 'honoursIfMatch' | 'opaqueEtags'>,
): BucketState {
  return { live: new Map(), uploaded: [], deletions: [], ...options, flaws: [], flips: 0 }
}

export function copyBucket(state: BucketState): BucketState {
  const { live, uploaded, deletions, flaws } = state
  return {
    ...state,
    live: new Map(live),
    uploaded: [...uploaded],
    deletions: [...deletions],
    flaws: [...flaws],
  }
}

/** What the backend's users do: a new version replaces the one under its key. */
export function upload(
  state: BucketState,
  key: string,
  content: string | Buffer,
  atMs: number,
): Version {
  const bytes = Buffer.from(content)
  const versionId = `v${state.uploaded.length + 1}`
  const told = state.opaqueEtags ? Buffer.from(versionId) : bytes
  const version: Version = {
    key,
    bytes,
    etag: createHash('md5').update(told).digest('hex'),
    versionId,
    lastModified: atMs,
  }
  state.uploaded.push(version)
  state.live.set(key, version)
  return version
}

/** Who deletes, and what the database says at that instant. */
export interface Witness {
  by: string
  nowMs: () => number
  itemsWith: (key: string) => ItemRecord[]
}

export function createSimBucket(state: BucketState, gate: Gate, witness: Witness): Bucket {
  const run = async <T>(name: string, path: string, effect: () => T): Promise<T> => {
    await gate({ of: 'bucket', name, path }, 'before')
    const answer = effect()
    await gate({ of: 'bucket', name, path }, 'after')
    return answer
  }
  const remove = (version: Version) => {
    const { key, versionId, etag } = version
    const items = witness.itemsWith(key).map(({ id, state: itemState, leaseOwner, leaseUntil }) => {
      return { id, state: itemState, leaseOwner, leaseUntil }
    })
    state.live.delete(key)
    state.deletions.push({ key, versionId, etag, by: witness.by, items, nowMs: witness.nowMs() })
  }
  return {
    name: 'uploads',
    id: 'simulated/uploads',
    head: (key) => run('head', key, () => factsOf(state.live.get(key))),
    get: (key, { ifMatch, from = 0 }) =>
      run('get', key, () => {
        const version = state.live.get(key)
        if (version === undefined) throw new AppError('OBJECT_MISSING', `no object "${key}"`)
        const { etag } = version
        const bytes = flawed(state, version.bytes)
        if (ifMatch !== undefined && etag !== ifMatch)
          throw new AppError('OBJECT_CHANGED', `"${key}" was replaced`)
        const half = from + ((bytes.byteLength - from) >> 1)
        const body = bodyOfChunks([bytes.subarray(from, half), bytes.subarray(half)])
        return { sizeBytes: version.bytes.byteLength, from, etag, body }
      }),
    // Its objects are too small to be asked for in parts.
    getPart: (key) => run('getPart', key, () => null),
    partBytes: (key) => run('partBytes', key, () => null),
    delete: (key, options) =>
      run('delete', key, () => {
        const version = state.live.get(key)
        if (version === undefined) return 'gone'
        const { ifMatch } = options ?? {}
        if (ifMatch !== undefined && state.honoursIfMatch && ifMatch !== version.etag)
          return 'changed'
        remove(version)
        return 'deleted'
      }),
    put: (key, body) =>
      run('put', key, () => ({ etag: upload(state, key, Buffer.from(body), 0).etag })),
    list: () =>
      run('list', '', () =>
        [...state.live.values()].map(({ key, etag, bytes }) => {
          return { key, etag, sizeBytes: bytes.byteLength }
        }),
      ),
    check: () => run('check', '', () => {}),
    openSockets: () => 0,
    close: () => {},
  }
}

/** The bytes, or what the next flaw makes of them. */
function flawed(state: BucketState, bytes: Buffer): Buffer {
  const flaw = state.flaws.shift()
  if (flaw === undefined) return bytes
  if (flaw === 'cut') return bytes.subarray(0, bytes.byteLength - 1)
  const flipped = Buffer.from(bytes)
  const at = (state.flips >> 3) % flipped.length
  flipped[at] = (flipped[at] ?? 0) ^ (1 << (state.flips & 7))
  state.flips += 1
  return flipped
}

function factsOf(version: Version | undefined): ObjectFacts | null {
  if (version === undefined) return null
  const { etag, versionId, bytes, lastModified } = version
  return {
    etag,
    versionId,
    sizeBytes: bytes.byteLength,
    lastModified: new Date(lastModified),
    crc64nvme: null,
  }
}
