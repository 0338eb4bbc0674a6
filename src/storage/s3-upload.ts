import type { BucketConfig } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import { pause } from '../waiting.ts'
import type { Bucket, NewObject, UploadBucket } from './bucket.ts'
import { bucketOn } from './s3.ts'
import { type Abort, askSdk } from './s3-ask.ts'
import { isDenied, isRefusedFeature, isUnknownCondition, notS3 } from './s3-errors.ts'
import { askedFor, type Link, openLink, type S3Options, unquoted } from './s3-link.ts'
import type { Sdk } from './s3-sdk.ts'

/** Held in memory one at a time; no store takes parts of less than 5 MiB. */
const PART_BYTES = 16 * 2 ** 20
/** No store takes more. */
const MOST_PARTS = 10_000
/** A line that is slower is of no use for this. */
const LEAST_BYTES_PER_SECOND = 64 * 1024
const TRIES = 3

/** Opens a bucket that files are written to; `partBytes` is for tests. */
export function openS3ForUploads(
  config: BucketConfig,
  { partBytes = PART_BYTES, ...options }: S3Options & { partBytes?: number } = {},
): UploadBucket {
  const link = openLink(config, options)
  const bucket = bucketOn(link)
  return {
    ...bucket,
    upload: (key, object, signal) => upload({ bucket, link, key, partBytes, signal }, object),
  }
}

interface Target {
  bucket: Pick<Bucket, 'head'>
  link: Link
  key: string
  partBytes: number
  signal: AbortSignal
}

async function upload(target: Target, object: NewObject): Promise<{ etag: string } | 'taken'> {
  const least = Math.ceil(object.sizeBytes / MOST_PARTS)
  const partBytes = Math.max(target.partBytes, Math.ceil(least / 2 ** 20) * 2 ** 20)
  if (object.sizeBytes <= partBytes) return putWhole(target, object)
  return putInParts({ ...target, partBytes }, object)
}

async function putWhole(target: Target, object: NewObject): Promise<{ etag: string } | 'taken'> {
  const { link, key } = target
  const Body = await onlyPart(partsOf(object, object.sizeBytes))
  const put = whereNothingIs(target, (condition, { client, commands }, abort) => {
    const object = { Bucket: link.bucket, Key: key, Body, ...condition }
    return client.send(new commands.PutObjectCommand(object), abort)
  })
  return etagOf(target, send(target, Body.byteLength, put))
}

async function putInParts(target: Target, object: NewObject): Promise<{ etag: string } | 'taken'> {
  const { link, key, partBytes } = target
  const place = { Bucket: link.bucket, Key: key }
  await abortAbandoned(target)
  const { UploadId } = await send(target, 0, ({ client, commands }, abort) =>
    client.send(new commands.CreateMultipartUploadCommand(place), abort),
  )
  if (UploadId === undefined) throw notS3(askedFor(link, key), 'without an upload id')
  try {
    const Parts: { PartNumber: number; ETag: string | undefined }[] = []
    for await (const Body of partsOf(object, partBytes)) {
      const PartNumber = Parts.length + 1
      const { ETag } = await send(target, Body.byteLength, ({ client, commands }, abort) => {
        const part = { ...place, UploadId, PartNumber, Body }
        return client.send(new commands.UploadPartCommand(part), abort)
      })
      Parts.push({ PartNumber, ETag })
    }
    const complete = whereNothingIs(target, (condition, { client, commands }, abort) => {
      const command = { ...place, UploadId, MultipartUpload: { Parts }, ...condition }
      return client.send(new commands.CompleteMultipartUploadCommand(command), abort)
    })
    // Not sent twice: a lost answer may have been a yes, and whoever asks again finds the object.
    const done = await etagOf(target, once(target, object.sizeBytes, complete))
    if (done === 'taken') await abortUpload(target, UploadId)
    return done
  } catch (error) {
    await abortUpload(target, UploadId)
    throw error
  }
}

type Request<T> = (sdk: Sdk, abort: Abort) => Promise<T>

/**
 * Has the store refuse to replace an object (If-None-Match: *, as S3 and R2 document it for PutObject). Stores that do not
 * know the condition are asked without, once another look has found nothing.
 */
function whereNothingIs<T>(
  { bucket, key, signal }: Target,
  write: (condition: { IfNoneMatch?: string }, ...how: Parameters<Request<T>>) => Promise<T>,
): Request<T> {
  return (...how) =>
    write({ IfNoneMatch: '*' }, ...how).catch(async (error: unknown) => {
      if (!isUnknownCondition(error)) throw error
      if ((await bucket.head(key, signal)) === null) return write({}, ...how)
      throw new AppError('OBJECT_CHANGED', `somebody else wrote "${key}" meanwhile`)
    })
}

async function etagOf(
  { link, key }: Target,
  written: Promise<{ ETag?: string | undefined }>,
): Promise<{ etag: string } | 'taken'> {
  try {
    const etag = unquoted((await written).ETag)
    if (etag === null) throw notS3(askedFor(link, key), 'without an ETag')
    return { etag }
  } catch (error) {
    if (isAppError(error, 'OBJECT_CHANGED')) return 'taken'
    throw error
  }
}

/** What an upload left that died on the way costs money for ever; nobody else writes under this key. */
async function abortAbandoned(target: Target): Promise<void> {
  const { link, key } = target
  const listed = await send(target, 0, async ({ client, commands }, abort) => {
    try {
      const uploads = { Bucket: link.bucket, Prefix: key }
      return await client.send(new commands.ListMultipartUploadsCommand(uploads), abort)
    } catch (error) {
      // A key may write without the right to list; one that may nothing is told so by what follows.
      if (isRefusedFeature(error) || isDenied(error)) return { Uploads: [] }
      throw error
    }
  })
  for (const { Key, UploadId } of listed.Uploads ?? [])
    if (Key === key && UploadId !== undefined) await abortUpload(target, UploadId)
}

/** Never throws: the next upload under this key tries again. */
async function abortUpload({ link, key }: Target, UploadId: string): Promise<void> {
  const upload = { Bucket: link.bucket, Key: key, UploadId }
  await askSdk(link, askedFor(link, key), ({ client, commands }, abort) =>
    client.send(new commands.AbortMultipartUploadCommand(upload), abort),
  ).catch(() => {})
}

/** The same request again after a fault that may pass; writing the same bytes twice is writing them once. */
async function send<T>(target: Target, bytes: number, request: Request<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await once(target, bytes, request)
    } catch (error) {
      if (!isAppError(error, 'BUCKET_UNAVAILABLE', 'BUCKET_THROTTLED') || tries >= TRIES)
        throw error
      await pause(100 * 4 ** tries, target.signal)
    }
  }
}

function once<T>({ link, key, signal }: Target, bytes: number, request: Request<T>): Promise<T> {
  const withinMs = link.requestTimeoutMs + (bytes / LEAST_BYTES_PER_SECOND) * 1_000
  return askSdk(link, { ...askedFor(link, key), signal, withinMs }, request)
}

/** All of one size but the last; each is valid until the next one is asked for. */
async function* partsOf(object: NewObject, partBytes: number): AsyncGenerator<Uint8Array> {
  const part = Buffer.allocUnsafe(Math.min(partBytes, object.sizeBytes))
  let filled = 0
  for await (const chunk of object.chunks()) {
    for (let taken = 0; taken < chunk.byteLength; ) {
      const piece = chunk.subarray(taken, taken + part.byteLength - filled)
      part.set(piece, filled)
      taken += piece.byteLength
      filled += piece.byteLength
      if (filled < part.byteLength) continue
      yield part
      filled = 0
    }
  }
  if (filled > 0) yield part.subarray(0, filled)
}

async function onlyPart(parts: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
  for await (const part of parts) return part
  return new Uint8Array()
}
