import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkSignature, type SignedRequest } from '../../src/demo/bucket-signature.ts'
import { S3Error } from '../../src/demo/bucket-xml.ts'

// Published by AWS: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and
// …/sigv4-query-string-auth.html
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const NOON = new Date('2013-05-24T00:05:00Z')
const rules = {
  secretOf: (key: string) => (key === 'AKIAIOSFODNN7EXAMPLE' ? SECRET : null),
  now: NOON,
}
const authorization = (headers: string, signature: string) =>
  `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${headers},Signature=${signature}`

const getWithRange: SignedRequest = {
  method: 'GET',
  target: '/test.txt',
  headers: {
    host: 'examplebucket.s3.amazonaws.com',
    range: 'bytes=0-9',
    'x-amz-content-sha256': EMPTY,
    'x-amz-date': '20130524T000000Z',
    authorization: authorization(
      'host;range;x-amz-content-sha256;x-amz-date',
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ),
  },
}

const listing: SignedRequest = {
  method: 'GET',
  target: '/?max-keys=2&prefix=J',
  headers: {
    host: 'examplebucket.s3.amazonaws.com',
    'x-amz-content-sha256': EMPTY,
    'x-amz-date': '20130524T000000Z',
    authorization: authorization(
      'host;x-amz-content-sha256;x-amz-date',
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ),
  },
}

const presigned: SignedRequest = {
  method: 'GET',
  target:
    '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  headers: { host: 'examplebucket.s3.amazonaws.com' },
}

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof S3Error, String(error))
  assert.deepEqual([error.status, error.code], [status, code])
  return true
}

for (const [name, request] of Object.entries({ getWithRange, listing, presigned })) {
  test(`the signature that AWS publishes for ${name} is accepted`, () => {
    assert.equal(checkSignature(request, rules).accessKey, 'AKIAIOSFODNN7EXAMPLE')
  })

  test(`${name} is refused with another method, path, host or secret`, () => {
    const { method, target, headers } = request
    const changed: SignedRequest[] = [
      { ...request, method: 'DELETE' },
      { ...request, target: target.replace('/', '/x') },
      { ...request, target: `${target}${target.includes('?') ? '&' : '?'}versionId=1` },
      { method, target, headers: { ...headers, host: 'other' } },
    ]
    for (const one of changed) {
      assert.throws(() => checkSignature(one, rules), refused(403, 'SignatureDoesNotMatch'))
    }
    const other = { ...rules, secretOf: () => 'other' }
    assert.throws(() => checkSignature(request, other), refused(403, 'SignatureDoesNotMatch'))
  })

  test(`${name} with any other signature is refused`, () => {
    const text = JSON.stringify(request)
    const signature = /Signature=([0-9a-f]{64})/.exec(text)?.[1] ?? ''
    const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 1 })
    fc.assert(
      fc.property(hex, (other) => {
        fc.pre(other !== signature)
        const forged = JSON.parse(text.replace(signature, other)) as SignedRequest
        assert.throws(() => checkSignature(forged, rules), S3Error)
      }),
    )
  })

  test(`${name} with an unknown access key is unauthorised`, () => {
    const nobody = { ...rules, secretOf: () => null }
    assert.throws(() => checkSignature(request, nobody), refused(401, 'Unauthorized'))
  })
}

test('a clock that is more than 15 minutes off is refused in both directions', () => {
  for (const now of ['2013-05-24T00:15:01Z', '2013-05-23T23:44:59Z']) {
    const late = { ...rules, now: new Date(now) }
    assert.throws(() => checkSignature(listing, late), refused(403, 'RequestTimeTooSkewed'))
  }
  for (const now of ['2013-05-24T00:14:59Z', '2013-05-23T23:45:01Z']) {
    checkSignature(listing, { ...rules, now: new Date(now) })
  }
})

test('a presigned URL is good until it expires', () => {
  checkSignature(presigned, { ...rules, now: new Date('2013-05-24T23:59:59Z') })
  const late = { ...rules, now: new Date('2013-05-25T00:00:01Z') }
  assert.throws(() => checkSignature(presigned, late), refused(400, 'ExpiredRequest'))
})

test('a request without a signature is unauthorised', () => {
  const request = { method: 'GET', target: '/', headers: { host: 'h' } }
  assert.throws(() => checkSignature(request, rules), refused(401, 'Unauthorized'))
})

test('a header that steers the request must be signed', () => {
  const headers = { ...listing.headers, 'x-amz-copy-source': '/other' }
  assert.throws(() => checkSignature({ ...listing, headers }, rules), refused(403, 'AccessDenied'))
})

test('whatever stands in the Authorization header, the answer is a refusal', () => {
  fc.assert(
    fc.property(fc.string(), fc.webQueryParameters(), (text, query) => {
      const headers = { ...listing.headers, authorization: text }
      const request = { ...listing, target: `/?${query}`, headers }
      assert.throws(() => checkSignature(request, rules), S3Error)
    }),
  )
})
