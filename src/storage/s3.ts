import { IncomingMessage } from 'node:http'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import type { BucketConfig } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Bucket, Download, ListedObject, ObjectFacts } from './bucket.ts'
import { guardBody } from './s3-body.ts'
import { type Asked, notS3, subject } from './s3-errors.ts'
import {
  ask,
  askedFor,
  check,
  closeLink,
  type Link,
  mustBeListing,
  openLink,
  type S3Options,
  shownEndpoint,
  socketsInUse,
} from './s3-link.ts'

export type { S3Options } from './s3-link.ts'

/**
 * Opens a bucket over the S3 protocol; nothing is sent before the first call.
 *
 * No request is ever repeated here: whether a DELETE may be sent again is the protocol's decision.
 */
export function openS3(config: BucketConfig, options: S3Options = {}): Bucket {
  const link = openLink(config, options)
  return {
    name: config.bucket,
    id: `${shownEndpoint(config.endpoint)}/${config.bucket}`,
    head: (key, signal) => head(link, key, signal),
    get: (key, { ifMatch, signal }) => get(link, { key, ifMatch }, signal),
    partBytes: (key, etag, signal) => partBytes(link, { key, etag }, signal),
    delete: (key, given = {}) => remove(link, key, given),
    put: (key, bytes, signal) => put(link, { key, bytes }, signal),
    list: (range = {}) => list(link, range),
    check: (signal) => check(link, signal),
    openSockets: () => socketsInUse(link),
    close: () => closeLink(link),
  }
}

async function head(link: Link, key: string, signal?: AbortSignal): Promise<ObjectFacts | null> {
  const asked = askedFor(link, key)
  try {
    return factsOf(await headObject(link, key, signal), asked)
  } catch (error) {
    if (isAppError(error, 'OBJECT_MISSING')) return null
    throw error
  }
}

/** Asks for checksums; a store that refuses the question is asked without, now and from then on. */
async function headObject(
  link: Link,
  key: string,
  signal?: AbortSignal,
): Promise<HeadObjectCommandOutput> {
  const asked = askedFor(link, key)
  const target = { Bucket: link.bucket, Key: key }
  const plain = () =>
    ask(link, { ...asked, signal }, (abort) =>
      link.client.send(new HeadObjectCommand(target), abort),
    )
  if (!link.checksums) return plain()
  let refused = false
  const output = await ask(link, { ...asked, signal }, async (abort) => {
    try {
      const command = new HeadObjectCommand({ ...target, ChecksumMode: 'ENABLED' })
      return await link.client.send(command, abort)
    } catch (error) {
      refused = isRefusedFeature(error)
      if (refused) return null
      throw error
    }
  })
  if (output !== null) return output
  const answer = await plain()
  link.checksums = false
  return answer
}

function factsOf(output: HeadObjectCommandOutput, asked: Asked): ObjectFacts {
  const { ContentLength, LastModified } = output
  const etag = unquoted(output.ETag)
  if (etag === null || ContentLength === undefined || LastModified === undefined) {
    throw notS3(asked, 'without ETag, Content-Length or Last-Modified')
  }
  return {
    etag,
    sizeBytes: ContentLength,
    lastModified: LastModified,
    versionId: output.VersionId ?? null,
    crc64nvme: wholeObjectCrc(output),
  }
}

/** A composite value (`…-N`) is a checksum of checksums and proves nothing about these bytes. */
function wholeObjectCrc(output: HeadObjectCommandOutput): string | null {
  const value = output.ChecksumCRC64NVME
  if (value === undefined || output.ChecksumType === 'COMPOSITE') return null
  return /^[A-Za-z0-9+/]{11}=$/.test(value) ? value : null
}

async function get(
  link: Link,
  { key, ifMatch }: { key: string; ifMatch: string },
  signal?: AbortSignal,
): Promise<Download> {
  const asked = askedFor(link, key)
  const command = new GetObjectCommand({ Bucket: link.bucket, Key: key, IfMatch: quoted(ifMatch) })
  const output = await ask(link, { ...asked, signal }, (abort) => link.client.send(command, abort))
  const source = output.Body
  if (!(source instanceof IncomingMessage)) throw notS3(asked, 'without a body')
  const etag = unquoted(output.ETag)
  const refusal = whyNot(output, { asked, ifMatch })
  if (refusal !== null || etag === null || output.ContentLength === undefined) {
    source.on('error', () => {}) // its breaking off is our doing
    source.destroy()
    throw refusal
  }
  const body = guardBody(source, {
    sizeBytes: output.ContentLength,
    stallMs: link.stallMs,
    signal: signal ?? null,
    subject: subject(asked),
  })
  return { sizeBytes: output.ContentLength, etag, body }
}

/** The reason why a 2xx answer to a GET is not the version that was asked for, or null. */
function whyNot(
  output: GetObjectCommandOutput,
  { asked, ifMatch }: { asked: Asked; ifMatch: string },
): AppError | null {
  const status = output.$metadata.httpStatusCode
  if (status !== 200) return notS3(asked, `${status} to a GET of the whole object`)
  const etag = unquoted(output.ETag)
  if (etag === null) return notS3(asked, 'without an ETag')
  if (output.ContentLength === undefined) return notS3(asked, 'without Content-Length')
  // A store that ignores If-Match gives itself away here.
  if (etag !== ifMatch) {
    return new AppError('OBJECT_CHANGED', `${subject(asked)} is another version than asked for`)
  }
  return null
}

async function partBytes(
  link: Link,
  { key, etag }: { key: string; etag: string },
  signal?: AbortSignal,
): Promise<number | null> {
  const parts = Number(/-(\d{1,5})$/.exec(etag)?.[1] ?? 0)
  if (parts === 0) return null
  const asked = askedFor(link, key)
  const command = new HeadObjectCommand({
    Bucket: link.bucket,
    Key: key,
    PartNumber: 1,
    IfMatch: quoted(etag),
  })
  const output = await ask(link, { ...asked, signal }, async (abort) => {
    try {
      return await link.client.send(command, abort)
    } catch (error) {
      if (isRefusedFeature(error)) return null
      throw error
    }
  })
  return output === null ? null : plausiblePart(output, { parts, etag })
}

/** Some stores ignore `partNumber` or count differently: what does not add up is not believed. */
function plausiblePart(
  output: HeadObjectCommandOutput,
  { parts, etag }: { parts: number; etag: string },
): number | null {
  const size = output.ContentLength
  if (size === undefined || size === 0 || unquoted(output.ETag) !== etag) return null
  if (output.PartsCount !== undefined && output.PartsCount !== parts) return null
  if (parts === 1) return size
  if (output.$metadata.httpStatusCode !== 206) return null
  const total = Number(/\/(\d+)$/.exec(output.ContentRange ?? '')?.[1] ?? 0)
  if (total === 0) return output.PartsCount === parts ? size : null
  return size * (parts - 1) < total && total <= size * parts ? size : null
}

async function remove(
  link: Link,
  key: string,
  { ifMatch, signal }: { ifMatch?: string; signal?: AbortSignal },
): Promise<'deleted' | 'gone' | 'changed'> {
  const command = new DeleteObjectCommand({
    Bucket: link.bucket,
    Key: key,
    ...(ifMatch !== undefined && { IfMatch: quoted(ifMatch) }),
  })
  try {
    const asked = askedFor(link, key)
    const send = (abort: { abortSignal: AbortSignal }) => link.client.send(command, abort)
    const output = await ask(link, { ...asked, signal }, send)
    if (output.$metadata.httpStatusCode === 204) return 'deleted'
    // S3 says 204; a page that some portal puts in its place must not pass for a deletion.
    if ((await head(link, key, signal)) === null) return 'deleted'
    throw notS3(asked, `${output.$metadata.httpStatusCode} to a DELETE and still has the object`)
  } catch (error) {
    if (isAppError(error, 'OBJECT_MISSING')) return 'gone'
    if (ifMatch !== undefined && isAppError(error, 'OBJECT_CHANGED')) return 'changed'
    throw error
  }
}

async function put(
  link: Link,
  { key, bytes }: { key: string; bytes: Uint8Array },
  signal?: AbortSignal,
): Promise<{ etag: string }> {
  const asked = askedFor(link, key)
  const command = new PutObjectCommand({ Bucket: link.bucket, Key: key, Body: bytes })
  const output = await ask(link, { ...asked, signal }, (abort) => link.client.send(command, abort))
  const etag = unquoted(output.ETag)
  if (etag === null) throw notS3(asked, 'without an ETag')
  return { etag }
}

async function list(
  link: Link,
  { prefix, after }: { prefix?: string; after?: string },
): Promise<ListedObject[]> {
  const asked = askedFor(link)
  const command = new ListObjectsV2Command({
    Bucket: link.bucket,
    // XML cannot hold every character that a key may have.
    EncodingType: 'url',
    ...(prefix !== undefined && { Prefix: prefix }),
    ...(after !== undefined && { StartAfter: after }),
  })
  const output = await ask(link, asked, (abort) => link.client.send(command, abort))
  mustBeListing(output, asked)
  const encoded = output.EncodingType === 'url'
  return (output.Contents ?? []).map(({ Key = '', ETag, Size }) => ({
    key: encoded ? decodeURIComponent(Key.replaceAll('+', ' ')) : Key,
    etag: unquoted(ETag) ?? '',
    sizeBytes: Size ?? 0,
  }))
}

/** 400, 405 and 501: the store does not know this kind of question. */
function isRefusedFeature(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
  return [400, 405, 416, 501].includes($metadata?.httpStatusCode ?? 0)
}

function quoted(etag: string): string {
  return `"${etag}"`
}

function unquoted(etag: string | undefined): string | null {
  const plain = etag?.replace(/^"(.*)"$/, '$1')
  return plain ? plain : null
}
