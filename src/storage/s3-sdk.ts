import type { Agent as HttpAgent } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import type { S3Client } from '@aws-sdk/client-s3'
import type { BucketConfig } from '../config.ts'
import { CONNECT_TIMEOUT_MS } from './http-connection.ts'

/** The SDK with a client of one bucket, for the questions that are seldom asked; the others have their own way (s3-request.ts). */
export interface Sdk {
  client: S3Client
  commands: typeof import('@aws-sdk/client-s3')
}

/** Loads it, which takes 40 ms and 10 MiB: most runs never need it. */
export async function openSdk(
  config: BucketConfig,
  [httpAgent, httpsAgent]: readonly [HttpAgent, HttpsAgent],
): Promise<Sdk> {
  const commands = await import('@aws-sdk/client-s3')
  const { NodeHttpHandler } = await import('@smithy/node-http-handler')
  const client = new commands.S3Client({
    endpoint: config.endpoint,
    region: config.region,
    credentials: { accessKeyId: config.accessKey, secretAccessKey: config.secretKey },
    forcePathStyle: true,
    maxAttempts: 1,
    // Checksums unasked for are refused by some stores and cost the main thread a pass in JavaScript.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Said here so that no file or variable meant for another program decides it.
    defaultsMode: 'standard',
    retryMode: 'standard',
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    disableS3ExpressSessionAuth: true,
    requestHandler: new NodeHttpHandler({
      httpAgent,
      httpsAgent,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // Ours are the deadline in `ask` and the stall timer of the body.
      socketTimeout: 0,
      logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
    }),
  })
  return { client, commands }
}
