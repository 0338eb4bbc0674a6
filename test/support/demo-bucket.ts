import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { BucketConfig } from '../../src/config.ts'
import { type BucketServer, type BucketServerOptions, startBucket } from '../../src/demo/bucket.ts'
import { type ErrorCode, isAppError } from '../../src/errors.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { openS3, type S3Options } from '../../src/storage/s3.ts'
import { afterwards, type Scope } from './afterwards.ts'
import { adminOf, type BucketAdmin, openAdmin } from './s3.ts'

export interface DemoBucket {
  server: BucketServer
  config: BucketConfig
  admin: BucketAdmin
  dir: string
}

/** A bucket of our own server in a temporary folder; gone after the test. */
export async function withDemoBucket(
  t: Scope,
  options: Partial<BucketServerOptions> = {},
): Promise<DemoBucket> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'strongroom-bucket-')))
  const access = { accessKey: 'demo-key', secretKey: 'demo-secret' }
  const server = await startBucket({ port: 0, bucket: 'media', ...access, ...options, dir })
  const config = { endpoint: server.endpoint, region: 'auto', bucket: 'media', ...access }
  const client = openAdmin(config)
  afterwards(t, async () => {
    client.destroy()
    await server.close()
    if (options.dir === undefined) await rm(dir, { recursive: true })
  })
  return { server, config, admin: adminOf(client, 'media'), dir }
}

/** Opens a bucket as the product does; after the test no socket of it may be in use. */
export function openedS3(t: Scope, config: BucketConfig, options: S3Options = {}): Bucket {
  const bucket = openS3(config, options)
  afterwards(t, () => closed(bucket))
  return bucket
}

/** Closes a bucket after proving that every body was consumed or destroyed. */
export async function closed(bucket: Bucket): Promise<void> {
  for (let turn = 0; turn < 1000 && bucket.openSockets() > 0; turn++) await setImmediate()
  assert.equal(bucket.openSockets(), 0, 'a socket is still in use')
  bucket.close()
}

/** For assert.rejects: an AppError of this code and no other. */
export function coded(...codes: ErrorCode[]): (error: unknown) => true {
  return (error) => {
    if (isAppError(error, ...codes)) return true
    throw new Error(`expected ${codes.join(' or ')}`, { cause: error })
  }
}
