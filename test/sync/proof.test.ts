import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Bucket, ObjectFacts } from '../../src/storage/bucket.ts'
import { createDigest, type DigestKind } from '../../src/storage/digests.js'
import { type ProofPlan, planProof } from '../../src/sync/proof.ts'
import { openedS3, withDemoBucket } from '../support/demo-bucket.ts'
import { never } from '../support/worker.ts'

const MD5 = 'd41d8cd98f00b204e9800998ecf8427e'

const facts: ObjectFacts = {
  etag: MD5,
  sizeBytes: 25,
  lastModified: new Date(0),
  versionId: null,
  crc64nvme: null,
}

/** Only what a plan may ask. */
function asked(partBytes: number | null): Bucket {
  return { partBytes: async () => partBytes } as unknown as Bucket
}

const plans: [what: string, object: Partial<ObjectFacts>, part: number | null, plan: ProofPlan][] =
  [
    ['a full checksum', { crc64nvme: 'x' }, null, { kind: 'crc64nvme', expected: 'x' }],
    ['a plain ETag', {}, null, { kind: 'md5', expected: MD5 }],
    ['an ETag in capitals', { etag: MD5.toUpperCase() }, null, { kind: 'md5', expected: MD5 }],
    [
      'a multipart ETag whose part size is told',
      { etag: `${MD5}-3` },
      10,
      { kind: 'md5-of-parts', expected: `${MD5}-3`, partBytes: 10 },
    ],
    ['a multipart ETag whose part size is not told', { etag: `${MD5}-3` }, null, null],
    ['a multipart ETag with another number of parts', { etag: `${MD5}-3` }, 5, null],
    ['an ETag that is no hash', { etag: 'opaque' }, null, null],
    ['an ETag with more than 32 digits', { etag: `${MD5}0` }, null, null],
  ]
for (const [what, object, partBytes, plan] of plans) {
  test(`${what} is proven by ${plan?.kind ?? 'nothing'}`, async () => {
    const given = { facts: { ...facts, ...object }, signal: never }
    assert.deepEqual(await planProof(asked(partBytes), 'a', given), plan)
  })
}

test('the CRC-64/NVME of "123456789" is the published check value', async () => {
  const digest = await createDigest({ kind: 'crc64nvme' })
  digest.update(Buffer.from('123456789'))
  const value = Buffer.from(digest.finish(), 'base64')
  assert.equal(value.toString('hex'), 'ae8b14860a799888')
})

test('a store’s own multipart ETag is what our MD5 of parts gives', async (t) => {
  const { admin, config } = await withDemoBucket(t, { minPartBytes: 1, checksums: false })
  const bucket = openedS3(t, config)
  const bytes = Buffer.alloc(2500, 'part by part')
  for (const partBytes of [1000, 1250, 2499, 2500]) {
    const parts = []
    for (let at = 0; at < bytes.length; at += partBytes)
      parts.push(bytes.subarray(at, at + partBytes))
    const { etag } = await admin.putMultipart('a', parts)
    const found = await bucket.head('a')
    assert.ok(found)
    const plan = await planProof(bucket, 'a', { facts: found, signal: never })
    assert.equal(plan?.kind, 'md5-of-parts')
    const digest = await createDigest(plan)
    for (let at = 0; at < bytes.length; at += 7) digest.update(bytes.subarray(at, at + 7))
    assert.equal(digest.finish(), etag, `parts of ${partBytes}`)
  }
})

test('any chunking of the same bytes gives the same digest', async () => {
  const kinds: DigestKind[] = [
    { kind: 'sha256' },
    { kind: 'crc64nvme' },
    { kind: 'md5' },
    { kind: 'md5-of-parts', partBytes: 100 },
    { kind: 'md5-of-parts', partBytes: 1 },
  ]
  const chunks = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(chunks, fc.constantFrom(...kinds), async (pieces, wanted) => {
      const whole = Buffer.concat(pieces)
      const [one, many] = [await createDigest(wanted), await createDigest(wanted)]
      one.update(whole)
      for (const piece of pieces) many.update(piece)
      const found = one.finish()
      assert.equal(many.finish(), found)
      if (wanted.kind === 'sha256' || wanted.kind === 'md5')
        assert.equal(found, createHash(wanted.kind).update(whole).digest('hex'))
    }),
    { numRuns: 150 },
  )
})
