import type { BucketConfig } from '../config.ts'
import { SIGV4, signatureOf, uriEncoded } from './sigv4.ts'

export interface Presigned {
  method: 'GET' | 'HEAD'
  key: string
  /** From 1 to 604,800. */
  expiresInSeconds: number
  /** What the store is to say of the object, as `response-content-type` and so on. */
  overrides: Readonly<Record<string, string>>
  now: Date
}

/**
 * An address under which anybody may read one object until it expires: AWS Signature Version 4 in the query. It shows the
 * access key id, and nothing of the secret.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export function presign(bucket: BucketConfig, wanted: Presigned): string {
  const { endpoint, region, accessKey, secretKey } = bucket
  const { method, key, expiresInSeconds, overrides, now } = wanted
  const { origin, host } = new URL(endpoint)
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const path = `/${[bucket.bucket, ...key.split('/')].map(uriEncoded).join('/')}`
  const query = Object.entries({
    ...overrides,
    'X-Amz-Algorithm': SIGV4,
    'X-Amz-Credential': `${accessKey}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': String(expiresInSeconds),
    'X-Amz-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${uriEncoded(name)}=${uriEncoded(value)}`)
    .sort()
    .join('&')
  const canonical = [method, path, query, `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  const signature = signatureOf(secretKey, { canonical, time, scope })
  return `${origin}${path}?${query}&X-Amz-Signature=${signature}`
}
