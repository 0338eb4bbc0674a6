import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { SIGV4, signatureOf, uriEncoded } from '../storage/sigv4.ts'
import { S3Error } from './bucket-xml.ts'

/** A request as it arrived: the target is not decoded. */
export interface SignedRequest {
  method: string
  target: string
  headers: IncomingHttpHeaders
}

export interface SignatureRules {
  /** @returns the secret of an access key, or null when there is no such key */
  secretOf(accessKey: string): string | null
  now: Date
}

/** Who signed, and what the signature says of the body: a SHA-256 in hex or UNSIGNED-PAYLOAD. */
export interface Signer {
  accessKey: string
  payload: string
}

interface Claim {
  accessKey: string
  /** `<day>/<region>/s3/aws4_request` */
  scope: string[]
  signedHeaders: string[]
  signature: string
  /** As sent: 20260131T235959Z. */
  time: string
  payload: string
  query: [string, string][]
}

const SKEW_MS = 15 * 60_000
const MAX_EXPIRY_SECONDS = 7 * 24 * 3600

/**
 * Checks AWS Signature Version 4, in the Authorization header or in the query (a presigned URL).
 *
 * @throws S3Error 401, 403 or 400 in R2's words
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
export function checkSignature(request: SignedRequest, rules: SignatureRules): Signer {
  const query = parseQuery(request.target)
  const presigned = query.some(([name]) => name === 'X-Amz-Signature')
  const claim = presigned ? claimOfQuery(query) : claimOfHeader(request.headers, query)
  checkTime(claim, { presigned, now: rules.now })
  const secret = rules.secretOf(claim.accessKey)
  if (secret === null) throw new S3Error(401, 'Unauthorized')
  mustSign(claim, request.headers)
  const expected = Buffer.from(sign(claim, { request, secret }))
  const given = Buffer.from(claim.signature)
  if (expected.length !== given.length || !timingSafeEqual(expected, given)) {
    throw new S3Error(403, 'SignatureDoesNotMatch')
  }
  return { accessKey: claim.accessKey, payload: claim.payload }
}

/** Decoded pairs of the target's query, in order. @throws S3Error for broken percent-encoding */
export function parseQuery(target: string): [string, string][] {
  const start = target.indexOf('?')
  if (start < 0) return []
  const pairs = target
    .slice(start + 1)
    .split('&')
    .filter(Boolean)
  return pairs.map((pair) => {
    const equals = pair.indexOf('=')
    const name = equals < 0 ? pair : pair.slice(0, equals)
    return [decoded(name), equals < 0 ? '' : decoded(pair.slice(equals + 1))]
  })
}

export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Error(400, 'InvalidURI')
  }
}

function claimOfHeader(headers: IncomingHttpHeaders, query: [string, string][]): Claim {
  const text = headers.authorization
  if (text === undefined) throw new S3Error(401, 'Unauthorized')
  const match =
    /^AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)$/.exec(
      text,
    )
  const [, credential = '', signedHeaders = '', signature = ''] = match ?? []
  const payload = headers['x-amz-content-sha256']
  if (match === null) throw new S3Error(400, 'AuthorizationHeaderMalformed')
  if (typeof payload !== 'string') throw new S3Error(400, 'InvalidRequest')
  const time = headers['x-amz-date']
  return {
    ...credentialOf(credential),
    signedHeaders: signedHeaders.split(';'),
    signature,
    time: typeof time === 'string' ? time : '',
    payload,
    query,
  }
}

function claimOfQuery(query: [string, string][]): Claim {
  const value = (name: string) => query.find(([given]) => given === name)?.[1] ?? ''
  const expires = Number(value('X-Amz-Expires'))
  if (value('X-Amz-Algorithm') !== SIGV4 || !(expires >= 1 && expires <= MAX_EXPIRY_SECONDS)) {
    throw new S3Error(400, 'AuthorizationQueryParametersError')
  }
  return {
    ...credentialOf(value('X-Amz-Credential')),
    signedHeaders: value('X-Amz-SignedHeaders').split(';'),
    signature: value('X-Amz-Signature'),
    time: value('X-Amz-Date'),
    payload: 'UNSIGNED-PAYLOAD',
    query: query.filter(([name]) => name !== 'X-Amz-Signature'),
  }
}

/** An access key may hold slashes, the scope after it may not. */
function credentialOf(text: string): Pick<Claim, 'accessKey' | 'scope'> {
  const pieces = text.split('/')
  const scope = pieces.slice(-4)
  if (pieces.length < 5 || scope[2] !== 's3' || scope[3] !== 'aws4_request') {
    throw new S3Error(400, 'AuthorizationHeaderMalformed')
  }
  return { accessKey: pieces.slice(0, -4).join('/'), scope }
}

function checkTime(claim: Claim, { presigned, now }: { presigned: boolean; now: Date }): void {
  const iso = claim.time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
  const signedAt = Date.parse(iso)
  if (Number.isNaN(signedAt) || claim.time.slice(0, 8) !== claim.scope[0]) {
    throw new S3Error(403, 'AccessDenied', { message: 'the date of the request is not readable' })
  }
  const age = now.getTime() - signedAt
  if (age < -SKEW_MS) throw new S3Error(403, 'RequestTimeTooSkewed')
  if (!presigned && age > SKEW_MS) throw new S3Error(403, 'RequestTimeTooSkewed')
  const expires = Number(claim.query.find(([name]) => name === 'X-Amz-Expires')?.[1])
  if (presigned && age > expires * 1000) throw new S3Error(400, 'ExpiredRequest')
}

/** A header that steers the request but is not signed could have been added by anybody. */
function mustSign({ signedHeaders }: Claim, headers: IncomingHttpHeaders): void {
  const steering = Object.keys(headers).filter((name) => name.startsWith('x-amz-'))
  for (const name of ['host', ...steering]) {
    if (!signedHeaders.includes(name)) {
      throw new S3Error(403, 'AccessDenied', { message: `the header ${name} is not signed` })
    }
  }
}

function sign(
  claim: Claim,
  { request, secret }: { request: SignedRequest; secret: string },
): string {
  const [path = '/'] = request.target.split('?', 1)
  const query = claim.query
    .map(([name, value]) => `${uriEncoded(name)}=${uriEncoded(value)}`)
    .sort((a, b) => (a < b ? -1 : 1))
  const headers = claim.signedHeaders.map((name) => {
    const value = request.headers[name]
    const text = Array.isArray(value) ? value.join(',') : (value ?? '')
    return `${name}:${text.trim().replace(/\s+/g, ' ')}\n`
  })
  const canonical = [
    request.method,
    path
      .split('/')
      .map((segment) => uriEncoded(decoded(segment)))
      .join('/'),
    query.join('&'),
    headers.join(''),
    claim.signedHeaders.join(';'),
    claim.payload,
  ].join('\n')
  return signatureOf(secret, { canonical, time: claim.time, scope: claim.scope.join('/') })
}
