import { randomBytes } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { BucketConfig } from '../../src/config.ts'
import { afterwards, type Scope } from './afterwards.ts'

/** Where a real S3 server listens and who may use it. */
export interface S3Coordinates {
  endpoint: string
  region: string
  accessKey: string
  secretKey: string
}

/** What a backend does to its bucket: independent of the product's own adapter. */
export interface BucketAdmin {
  readonly client: S3Client
  readonly bucket: string
  put(key: string, body: Uint8Array | string, headers?: PutHeaders): Promise<{ etag: string }>
  /** Uploads `parts` as they are; all but the last need 5 MiB on most stores. */
  putMultipart(key: string, parts: Uint8Array[]): Promise<{ etag: string }>
  delete(key: string): Promise<void>
  list(): Promise<string[]>
}

export interface PutHeaders {
  ContentType?: string
  ContentMD5?: string
  IfMatch?: string
  IfNoneMatch?: string
}

/** A bare client of the SDK; the caller destroys it. */
export function openAdmin(coordinates: S3Coordinates): S3Client {
  return new S3Client({
    endpoint: coordinates.endpoint,
    region: coordinates.region,
    credentials: { accessKeyId: coordinates.accessKey, secretAccessKey: coordinates.secretKey },
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
  })
}

/** Coordinates of the S3 server that the whole test run shares. */
export function s3FromEnvironment(): S3Coordinates {
  const text = process.env.STRONGROOM_TEST_S3
  if (!text) {
    throw new Error(
      'STRONGROOM_TEST_S3 is not set: run `make test`, or `node test/support/swift.ts` and export the line it prints',
    )
  }
  return JSON.parse(text) as S3Coordinates
}

/** Makes an empty bucket with a name of its own on the shared S3 server; it is emptied and removed after the test. */
export async function withBucket(
  t: Scope,
  coordinates: S3Coordinates = s3FromEnvironment(),
): Promise<{ config: BucketConfig; admin: BucketAdmin }> {
  const client = openAdmin(coordinates)
  const bucket = `t-${randomBytes(8).toString('hex')}`
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  afterwards(t, async () => {
    await empty(client, bucket)
    client.destroy()
  })
  return { config: { ...coordinates, bucket }, admin: adminOf(client, bucket) }
}

/** The same verbs on any client. */
export function adminOf(client: S3Client, bucket: string): BucketAdmin {
  return {
    client,
    bucket,
    put: async (key, body, headers = {}) => {
      const stored = await client.send(
        new PutObjectCommand({ Bucket: bucket, Key: key, Body: Buffer.from(body), ...headers }),
      )
      return { etag: unquoted(stored.ETag) }
    },
    putMultipart: (key, parts) => putMultipart(client, { Bucket: bucket, Key: key }, parts),
    delete: async (key) => {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    },
    list: () => listAll(client, bucket),
  }
}

async function putMultipart(
  client: S3Client,
  target: { Bucket: string; Key: string },
  parts: Uint8Array[],
): Promise<{ etag: string }> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target))
  const done: { PartNumber: number; ETag: string }[] = []
  for (const [index, Body] of parts.entries()) {
    const PartNumber = index + 1
    const { ETag } = await client.send(
      new UploadPartCommand({ ...target, UploadId, PartNumber, Body }),
    )
    done.push({ PartNumber, ETag: ETag ?? '' })
  }
  const stored = await client.send(
    new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts: done } }),
  )
  return { etag: unquoted(stored.ETag) }
}

async function listAll(client: S3Client, bucket: string): Promise<string[]> {
  const keys: string[] = []
  for (;;) {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        EncodingType: 'url',
        ...(keys.length > 0 && { StartAfter: keys.at(-1) }),
      }),
    )
    for (const { Key } of page.Contents ?? []) {
      keys.push(decodeURIComponent((Key ?? '').replaceAll('+', ' ')))
    }
    if (!page.IsTruncated) return keys
  }
}

async function empty(client: S3Client, bucket: string): Promise<void> {
  const target = { Bucket: bucket }
  const uploads = await client.send(new ListMultipartUploadsCommand(target))
  for (const { Key, UploadId } of uploads.Uploads ?? []) {
    await client.send(new AbortMultipartUploadCommand({ ...target, Key, UploadId }))
  }
  for (const Key of await listAll(client, bucket)) {
    await client.send(new DeleteObjectCommand({ ...target, Key }))
  }
  await client.send(new DeleteBucketCommand(target))
}

function unquoted(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '')
}
