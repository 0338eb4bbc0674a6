import { createHash, createHmac } from 'node:crypto'

/** The only algorithm that S3 stores know for SHA-256. */
export const SIGV4 = 'AWS4-HMAC-SHA256'

/** What is signed: a canonical request, when (20260131T235959Z) and for which `<day>/<region>/s3/aws4_request`. */
export interface ToSign {
  canonical: string
  time: string
  scope: string
}

/**
 * The signature (hex) of AWS Signature Version 4.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export function signatureOf(secret: string, { canonical, time, scope }: ToSign): string {
  const digest = createHash('sha256').update(canonical).digest('hex')
  const text = [SIGV4, time, scope, digest].join('\n')
  return hmac(keyFor(secret, scope), text).toString('hex')
}

/** The same for a whole day, and four HMACs. */
let last: { secret: string; scope: string; key: string | Buffer } | null = null

function keyFor(secret: string, scope: string): string | Buffer {
  if (last?.secret !== secret || last.scope !== scope) {
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${secret}`)
    last = { secret, scope, key }
  }
  return last.key
}

/** As the algorithm's UriEncode does: all but letters, digits and `-._~` becomes `%XX`. */
export function uriEncoded(text: string): string {
  const percent = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(text).replace(/[!'()*]/g, percent)
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
