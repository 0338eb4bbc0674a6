import type { IncomingHttpHeaders } from 'node:http'
import type { BucketConfig } from '../config.ts'
import { isAppError } from '../errors.ts'
import type { Bucket, ListedObject, ObjectFacts } from './bucket.ts'
import { ask, askSdk, check, NO_LISTING } from './s3-ask.ts'
import { type Asked, isRefusedFeature, isRefusedRequest, notS3 } from './s3-errors.ts'
import { get, getPart } from './s3-get.ts'
import { type Headed, sendHead } from './s3-kept.ts'
import {
  askedFor,
  closeLink,
  type Link,
  openLink,
  quoted,
  type S3Options,
  shownEndpoint,
  socketsInUse,
  unquoted,
} from './s3-link.ts'
import { lengthOf, send } from './s3-request.ts'

export type { S3Options } from './s3-link.ts'

/**
 * Opens a bucket over the S3 protocol; nothing is sent before the first call.
 *
 * No request is ever repeated here: whether a DELETE may be sent again is the protocol's decision.
 */
export function openS3(config: BucketConfig, options: S3Options = {}): Bucket {
  return bucketOn(openLink(config, options))
}

/** The same on a link that is open. */
export function bucketOn(link: Link): Bucket {
  return {
    name: link.bucket,
    id: idOf(link),
    head: (key, signal) => head(link, key, signal),
    get: (key, { ifMatch, from = 0, signal }) => get(link, { key, ifMatch, from }, signal),
    getPart: (key, { signal, ...part }) => getPart(link, { key, ...part }, signal),
    partBytes: (key, etag, signal) => partBytes(link, { key, etag }, signal),
    delete: (key, given = {}) => remove(link, key, given),
    put: (key, bytes, signal) => put(link, { key, bytes }, signal),
    list: (range = {}) => list(link, range),
    check: (signal) => check(link, signal),
    openSockets: () => socketsInUse(link),
    close: () => closeLink(link),
  }
}

/** Endpoint and name, never a key. */
export function idOf({ endpoint, bucket }: { endpoint: string; bucket: string }): string {
  return `${shownEndpoint(endpoint)}/${bucket}`
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
async function headObject(link: Link, key: string, signal?: AbortSignal): Promise<Headed> {
  const asked = { ...askedFor(link, key), signal }
  const question = { method: 'HEAD', key, headers: {} } as const
  const plain = () => ask(link, asked, ({ abortSignal }) => sendHead(link, question, abortSignal))
  if (!link.checksums) return plain()
  const headers = { 'x-amz-checksum-mode': 'ENABLED' }
  const answer = await ask(link, asked, async ({ abortSignal }) => {
    try {
      return await sendHead(link, { ...question, headers }, abortSignal)
    } catch (error) {
      if (isRefusedFeature(error)) return null
      throw error
    }
  })
  if (answer !== null) return answer
  const without = await plain()
  link.checksums = false
  return without
}

function factsOf({ headers }: Headed, asked: Asked): ObjectFacts {
  const etag = unquoted(headers.etag)
  const sizeBytes = lengthOf(headers)
  const lastModified = new Date(headers['last-modified'] ?? '')
  if (etag === null || sizeBytes === null || Number.isNaN(lastModified.getTime())) {
    throw notS3(asked, 'without ETag, Content-Length or Last-Modified')
  }
  return {
    etag,
    sizeBytes,
    lastModified,
    versionId: single(headers['x-amz-version-id']) ?? null,
    crc64nvme: wholeObjectCrc(headers),
  }
}

/** A composite value (`…-N`) is a checksum of checksums and proves nothing about these bytes. */
function wholeObjectCrc(headers: IncomingHttpHeaders): string | null {
  const value = single(headers['x-amz-checksum-crc64nvme'])
  if (value === undefined || single(headers['x-amz-checksum-type']) === 'COMPOSITE') return null
  return /^[A-Za-z0-9+/]{11}=$/.test(value) ? value : null
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

async function partBytes(
  link: Link,
  { key, etag }: { key: string; etag: string },
  signal?: AbortSignal,
): Promise<number | null> {
  const parts = Number(/-(\d{1,5})$/.exec(etag)?.[1] ?? 0)
  if (parts === 0) return null
  const headers = { 'if-match': quoted(etag) }
  const question = { method: 'HEAD', key, query: 'partNumber=1', headers } as const
  const asked = { ...askedFor(link, key), signal }
  const answer = await ask(link, asked, async ({ abortSignal }) => {
    try {
      return await sendHead(link, question, abortSignal)
    } catch (error) {
      if (isRefusedFeature(error)) return null
      throw error
    }
  })
  return answer === null ? null : plausiblePart(answer, { parts, etag })
}

/** Some stores ignore `partNumber` or count differently: what does not add up is not believed. */
function plausiblePart(
  { status, headers }: Headed,
  { parts, etag }: { parts: number; etag: string },
): number | null {
  const size = lengthOf(headers)
  if (size === null || size === 0 || unquoted(headers.etag) !== etag) return null
  const told = single(headers['x-amz-mp-parts-count'])
  if (told !== undefined && told !== String(parts)) return null
  if (parts === 1) return size
  if (status !== 206) return null
  const total = Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? 0)
  if (total === 0) return told === undefined ? null : size
  return size * (parts - 1) < total && total <= size * parts ? size : null
}

async function remove(
  link: Link,
  key: string,
  { ifMatch, withinMs, signal }: { ifMatch?: string; withinMs?: number; signal?: AbortSignal },
): Promise<'deleted' | 'gone' | 'changed' | 'refused'> {
  const headers = ifMatch === undefined ? {} : { 'if-match': quoted(ifMatch) }
  try {
    const asked = askedFor(link, key)
    const output = await ask(link, { ...asked, signal, withinMs }, async ({ abortSignal }) => {
      try {
        return await send(link, { method: 'DELETE', key, headers }, abortSignal)
      } catch (error) {
        if (ifMatch !== undefined && isRefusedRequest(error)) return null
        throw error
      }
    })
    if (output === null) return 'refused'
    if (output.statusCode === 204) return 'deleted'
    // S3 says 204; a page that some portal puts in its place must not pass for a deletion.
    if ((await head(link, key, signal)) === null) return 'deleted'
    throw notS3(asked, `${output.statusCode} to a DELETE and still has the object`)
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
  const question = { method: 'PUT', key, headers: {}, body: bytes } as const
  const { headers } = await ask(link, { ...asked, signal }, ({ abortSignal }) =>
    send(link, question, abortSignal),
  )
  const etag = unquoted(headers.etag)
  if (etag === null) throw notS3(asked, 'without an ETag')
  return { etag }
}

async function list(
  link: Link,
  { prefix, after }: { prefix?: string; after?: string },
): Promise<ListedObject[]> {
  const asked = askedFor(link)
  const page = {
    Bucket: link.bucket,
    // XML cannot hold every character that a key may have.
    EncodingType: 'url',
    ...(prefix !== undefined && { Prefix: prefix }),
    ...(after !== undefined && { StartAfter: after }),
  } as const
  const output = await askSdk(link, asked, ({ client, commands }, abort) =>
    client.send(new commands.ListObjectsV2Command(page), abort),
  )
  // A portal's page parses as a listing of nothing.
  if (output.Name === undefined && output.KeyCount === undefined) throw notS3(asked, NO_LISTING)
  const encoded = output.EncodingType === 'url'
  return (output.Contents ?? []).map(({ Key = '', ETag, Size }) => ({
    key: encoded ? decodeURIComponent(Key.replaceAll('+', ' ')) : Key,
    etag: unquoted(ETag) ?? '',
    sizeBytes: Size ?? 0,
  }))
}
