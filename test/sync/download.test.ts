import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { VirtualObject } from '../../src/demo/bucket.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { discardPart } from '../../src/sync/temporaries.ts'
import { BYTES, itemOf, made, md5, on, sha256, withRig } from '../support/download-rig.ts'
import { hasCode } from '../support/scopes.ts'

describe('a download', { concurrency: true }, () => {
  test('is whole, in the temporary of its epoch, and says which version it is', async (t) => {
    const rig = await withRig(t)
    const found = await rig.download()
    assert.match(found.part.path, /^\.strongroom\/tmp\/7\.3\.[0-9a-f]{16}\.part$/)
    assert.deepEqual(await rig.disk.read(found.part.path, 1e7), BYTES)
    assert.equal(found.sha256, sha256(BYTES))
    assert.equal(found.proof.kind, 'crc64nvme')
    const { etag, sizeBytes, key, bucket } = found.source
    assert.deepEqual([etag, sizeBytes, key, bucket], [md5(BYTES), BYTES.length, 'a', 'media'])
    assert.deepEqual(rig.operations(), ['HeadObject', 'GetObject'])
    await discardPart(rig, found.part)
    assert.deepEqual(await rig.leftovers(), [])
  })

  test('of an empty object is empty', async (t) => {
    const found = await (await withRig(t, { bytes: Buffer.alloc(0) })).download()
    assert.equal(found.part.sizeBytes, 0)
    assert.equal(found.sha256, sha256(Buffer.alloc(0)))
  })

  test('without a checksum is proven by the MD5 that its ETag is', async (t) => {
    const found = await (await withRig(t, { checksums: false })).download()
    assert.deepEqual(found.proof, { kind: 'md5', value: md5(BYTES) })
  })

  test('of a multipart upload is proven by the MD5 of its parts', async (t) => {
    const rig = await withRig(t, { checksums: false })
    const parts = [BYTES.subarray(0, 300_000), BYTES.subarray(300_000, 600_000)]
    const { etag } = await rig.admin.putMultipart('a', [...parts, BYTES.subarray(600_000)])
    const found = await rig.download()
    assert.deepEqual(found.proof, { kind: 'md5-of-parts', value: etag })
    assert.equal(found.sha256, sha256(BYTES))
  })

  const unproven: [what: string, facts: Partial<VirtualObject>, kind: string][] = [
    ['an ETag of the store’s own making', { etag: 'opaque' }, 'read-twice'],
    ['an ETag that is some other MD5', { etag: 'f'.repeat(32) }, 'opaque-etag'],
    ['parts of unknown size', { etag: `${md5(BYTES)}-3` }, 'read-twice'],
    [
      'parts that do not add up to its ETag',
      { etag: `${'0'.repeat(32)}-2`, parts: [400_000, 300_000] },
      'read-twice',
    ],
  ]
  for (const [what, facts, kind] of unproven) {
    test(`with ${what} is believed once two reads agree`, async (t) => {
      const rig = await withRig(t, { virtual: made(facts) })
      const found = await rig.download()
      assert.deepEqual(found.proof, { kind, value: null })
      assert.equal(rig.operations().filter((name) => name === 'GetObject').length, 2)
    })
    test(`with ${what} is not believed when two reads differ`, async (t) => {
      const rig = await withRig(t, {
        virtual: made(facts),
        fault: (request, nth) =>
          request.operation === 'GetObject' && nth === 2
            ? { kind: 'flip', atByte: 600_000 }
            : undefined,
      })
      await assert.rejects(rig.download(), hasCode('TRANSFER_CORRUPT'))
      assert.deepEqual(await rig.leftovers(), [])
    })
  }

  for (const atByte of [0, 350_000, BYTES.length - 1]) {
    for (const [proof, checksums] of [
      ['CRC-64/NVME', true],
      ['MD5', false],
    ] as const) {
      test(`with bit ${atByte * 8} flipped is caught by its ${proof}`, async (t) => {
        const fault = on('GetObject', { kind: 'flip', atByte })
        const rig = await withRig(t, { checksums, fault })
        await assert.rejects(rig.download(), hasCode('TRANSFER_CORRUPT'))
        assert.deepEqual(await rig.leftovers(), [])
      })
    }
    test(`with bit ${atByte * 8} flipped is caught by the MD5 of its parts`, async (t) => {
      const rig = await withRig(t, {
        checksums: false,
        fault: on('GetObject', { kind: 'flip', atByte }),
      })
      await rig.admin.putMultipart('a', [BYTES.subarray(0, 400_000), BYTES.subarray(400_000)])
      await assert.rejects(rig.download(), hasCode('TRANSFER_CORRUPT'))
    })
  }

  test('that contradicts its CRC-64/NVME is not read a second time', async (t) => {
    const rig = await withRig(t, { fault: on('GetObject', { kind: 'flip', atByte: 9 }) })
    await assert.rejects(rig.download(), hasCode('TRANSFER_CORRUPT'))
    assert.deepEqual(rig.operations(), ['HeadObject', 'GetObject'])
  })
})

describe('before a byte is fetched', { concurrency: true }, () => {
  test('a key without object is reported as missing', async (t) => {
    const rig = await withRig(t)
    const item = itemOf({ objectKey: 'nothing' })
    await assert.rejects(rig.download({ item }), hasCode('OBJECT_MISSING', /"nothing"/))
  })

  test('an object written after its approval is held', async (t) => {
    const rig = await withRig(t)
    const item = itemOf({ approvedAt: new Date(Date.now() - 3_600_000) })
    await assert.rejects(rig.download({ item }), (error) => {
      assert.ok(isAppError(error, 'CHANGED_AFTER_APPROVAL'))
      assert.equal(error.retry, 'never')
      return true
    })
    assert.deepEqual(rig.operations(), ['HeadObject'])
  })

  test('an object written within a minute of its approval counts as what was approved', async (t) => {
    const rig = await withRig(t)
    await rig.download({ item: itemOf({ approvedAt: new Date(Date.now() - 50_000) }) })
  })

  test('a backend that approves before the upload may say so', async (t) => {
    const rig = await withRig(t, { policy: { changedAfterApproval: 'accept' } })
    await rig.download({ item: itemOf({ approvedAt: new Date(Date.now() - 3_600_000) }) })
  })

  test('a declared size that differs is told and no obstacle', async (t) => {
    const rig = await withRig(t)
    await rig.download({ item: itemOf({ declaredBytes: 1 }) })
    assert.ok(rig.lines.some((line) => line.level === 'warn' && line.declared === 1))
  })

  test('a declared size that differs is refused where that is configured', async (t) => {
    const rig = await withRig(t, { policy: { sizeMismatch: 'reject' } })
    const item = itemOf({ declaredBytes: 1 })
    await assert.rejects(rig.download({ item }), hasCode('SIZE_MISMATCH', /says 1 bytes/))
    assert.deepEqual(rig.operations(), ['HeadObject'])
    await rig.download({ item: itemOf({ declaredBytes: BYTES.length }) })
  })

  test('a disk without room for it refuses it', async (t) => {
    const rig = await withRig(t)
    const room = async () => ({ freeBytes: BYTES.length, totalBytes: 1e9 })
    const full = { ...rig.disk, room }
    await assert.rejects(rig.download({ disk: full }), hasCode('DISK_LOW'))
    assert.deepEqual(rig.operations(), ['HeadObject'])
  })
})

describe('the temporary', { concurrency: true }, () => {
  test('of the same epoch is begun anew', async (t) => {
    const rig = await withRig(t)
    await rig.leave({ epoch: 3, bytes: Buffer.from('left by the same epoch') })
    const found = await rig.download()
    assert.deepEqual(await rig.disk.read(found.part.path, 1e7), BYTES)
    assert.deepEqual(rig.operations(), ['HeadObject', 'GetObject'])
  })

  test('is removed when the disk fills up in the middle, and the object is not asked for again', async (t) => {
    const rig = await withRig(t)
    const disk = spoilWrites(rig.disk, () => {
      throw new AppError('DISK_FULL', 'no space is left')
    })
    await assert.rejects(rig.download({ disk }), hasCode('DISK_FULL'))
    assert.deepEqual(await rig.leftovers(), [])
    assert.deepEqual(rig.operations(), ['HeadObject', 'GetObject'])
  })

  test('that got fewer bytes than arrived is no download', async (t) => {
    const rig = await withRig(t)
    const disk = spoilWrites(rig.disk, (chunk) => chunk.subarray(0, chunk.length >> 1))
    await assert.rejects(rig.download({ disk }), hasCode('TRANSFER_CORRUPT', /has \d+ bytes/))
    assert.deepEqual(await rig.leftovers(), [])
  })
})

/** A disk that takes something else than it is given. */
function spoilWrites(disk: Disk, spoil: (chunk: Uint8Array) => Uint8Array): Disk {
  return {
    ...disk,
    async create(path) {
      const file = await disk.create(path)
      return Object.assign(Object.create(file) as typeof file, {
        write: (chunk: Uint8Array) => file.write(spoil(chunk)),
      })
    },
  }
}
