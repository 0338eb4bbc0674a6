/** What the store says of one object. */
export interface ObjectFacts {
  /** Without quotes; the store's name for these exact bytes. */
  etag: string
  sizeBytes: number
  lastModified: Date
  versionId: string | null
  /** Base64 CRC-64/NVME of the whole object, where the store gives a full-object one; else null. */
  crc64nvme: string | null
}

export interface ListedObject {
  key: string
  etag: string
  sizeBytes: number
}

/**
 * An S3-compatible bucket, as far as the product needs one.
 *
 * Every call throws AppErrors only: BUCKET_UNAVAILABLE (network, 5xx, time-out), BUCKET_THROTTLED (429, 503
 * SlowDown), BUCKET_DENIED (401, or 403 while the bucket itself refuses), BUCKET_MISSING (no such bucket),
 * OBJECT_DENIED (403 for this key only), OBJECT_LOCKED (a lock rule), CANCELLED (the signal).
 */
export interface Bucket {
  readonly name: string
  /** Identifies the bucket over restarts: endpoint and name, never a key. */
  readonly id: string
  /** @returns null when the bucket answers and has no such object (a missing bucket throws BUCKET_MISSING) */
  head(key: string, signal?: AbortSignal): Promise<ObjectFacts | null>
  /**
   * Starts a download of exactly the version `ifMatch`, from byte `from` on (0 unless told). The caller drains the body or
   * destroys it. A body that brings no byte for the stall time-out is destroyed with TRANSFER_STALLED, one
   * that ends early or breaks off with TRANSFER_BROKEN; both destroy the raw socket.
   *
   * @throws OBJECT_CHANGED (412), OBJECT_MISSING (404)
   */
  get(
    key: string,
    options: { ifMatch: string; from?: number; signal?: AbortSignal },
  ): Promise<Download>
  /**
   * The same for the bytes from `from` on as far as `to`, which is no longer among them.
   *
   * @returns null when the store sends anything but exactly these
   */
  getPart(key: string, options: PartWanted): Promise<Download | null>
  /**
   * Size of the parts that a multipart object was uploaded in, from `HEAD ?partNumber=1`.
   * @returns null where the store does not tell
   */
  partBytes(key: string, etag: string, signal?: AbortSignal): Promise<number | null>
  /**
   * `withinMs`: without an answer by then the socket is destroyed. After BUCKET_UNAVAILABLE nobody knows whether the object
   * is gone.
   *
   * @returns with `ifMatch` also `changed`: the store honours it, and the object is another version (412); `refused`: the
   *   store refuses such a question, now (409) or always (400, 405, 501 …)
   */
  delete(
    key: string,
    options?: { ifMatch?: string; withinMs?: number; signal?: AbortSignal },
  ): Promise<'deleted' | 'gone' | 'changed' | 'refused'>
  /** Uploads small bytes in one request; the product needs it only to probe what the store honours. */
  put(key: string, body: Uint8Array, signal?: AbortSignal): Promise<{ etag: string }>
  /** One page of keys in order; `after` continues. For doctor and tests, never on the run path. */
  list(options?: { prefix?: string; after?: string }): Promise<ListedObject[]>
  /** One cheap request that proves that the bucket exists and that these credentials may read it. */
  check(signal?: AbortSignal): Promise<void>
  /** Sockets in use now; 0 when every body was consumed or destroyed. */
  openSockets(): number
  close(): void
}

/** Which bytes of which version of an object. */
export interface PartWanted {
  ifMatch: string
  from: number
  to: number
  signal?: AbortSignal
}

/** What is to be uploaded. */
export interface NewObject {
  sizeBytes: number
  /** From the beginning, in order; a chunk is valid until the next one is asked for. */
  chunks: () => AsyncIterable<Uint8Array>
}

/** A bucket that whole files are written to. */
export interface UploadBucket extends Bucket {
  /**
   * Uploads an object of any size in constant memory, in parts where it is large. What an earlier upload of it left
   * unfinished is removed first, and what this one leaves after a failure.
   *
   * @returns `taken`: there is an object under this key, and it was left as it is (where the store can tell; look first)
   */
  upload(key: string, object: NewObject, signal: AbortSignal): Promise<{ etag: string } | 'taken'>
}

export interface Download {
  /** Of the whole object, from the GET's own headers. */
  sizeBytes: number
  /** Where the body begins: what was asked for, or 0 from a store that cannot begin there. */
  from: number
  etag: string
  body: Body
}

/** Is given each byte once, in order. Where it returns a promise it wants no more until that resolves. A chunk's memory is used again after that. */
export type Take = (chunk: Uint8Array) => Promise<void> | undefined

/** Where the bytes of a body go. */
export interface Sink {
  take: Take
  /**
   * Memory of its own in which it would like the next chunk to arrive, so that nothing need be copied; never empty, undefined
   * where it has none to lend. It stays lent until the next chunk is taken, whichever memory that lies in, or the body is over:
   * until then nobody else may write there, not even what a chunk before it left to be taken.
   */
  room?(): Uint8Array | undefined
}

/** What follows the headers of an answer. */
export interface Body {
  /** Gives all of it to the sink. Once. @throws what `take` throws; TRANSFER_STALLED, TRANSFER_BROKEN, CANCELLED */
  drain(sink: Sink): Promise<void>
  /** Nobody reads it (any further). */
  destroy(): void
}
