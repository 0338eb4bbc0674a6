import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { Fault, SeenRequest, VirtualObject } from '../../src/demo/bucket.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'
import type { S3Options } from '../../src/storage/s3.ts'
import { type Downloaded, discardPart, download, partPath } from '../../src/sync/download.ts'
import type { Policy } from '../../src/sync/parts.ts'
import { createSpace } from '../../src/sync/space.ts'
import { TEMPORARY_FOLDER } from '../../src/sync/volume.ts'
import { type DemoBucket, openedS3, withDemoBucket } from '../support/demo-bucket.ts'
import { hasCode, withFolder } from '../support/scopes.ts'
import { type LogLine, listeningLog, never, policy } from '../support/worker.ts'

const BYTES = Buffer.alloc(700_000, 'what was approved')

interface Rig extends DemoBucket {
  bucket: Bucket
  disk: Disk
  lines: LogLine[]
  /** Requests that reached the object, oldest first. */
  operations(): string[]
  download(options?: Partial<{ item: Item; signal: AbortSignal; disk: Disk }>): Promise<Downloaded>
  leftovers(): Promise<string[]>
}

interface RigOptions {
  fault?: (request: SeenRequest, nth: number) => Fault | undefined
  virtual?: VirtualObject
  policy?: Partial<Policy>
  checksums?: boolean
  s3?: S3Options
  bytes?: Buffer
}

/** An archive folder and a bucket with the object `a`; faults begin once it is there. */
async function withRig(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  const root = await withFolder(t)
  await mkdir(join(root, TEMPORARY_FOLDER), { recursive: true })
  const seen: Record<string, number> = {}
  let armed = false
  const demo = await withDemoBucket(t, {
    minPartBytes: 1,
    checksums: options.checksums ?? true,
    ...(options.virtual && { virtual: new Map([['a', options.virtual]]) }),
    onRequest(request) {
      if (!armed) return undefined
      seen[request.operation] = (seen[request.operation] ?? 0) + 1
      return options.fault?.(request, seen[request.operation] ?? 0)
    },
  })
  if (options.virtual === undefined) await demo.admin.put('a', options.bytes ?? BYTES)
  armed = true
  const disk = await openDisk(root)
  const bucket = openedS3(t, demo.config, options.s3)
  const { log, lines } = listeningLog()
  const parts = { bucket, policy: { ...policy, ...options.policy }, log }
  const before = demo.server.requests.length
  return {
    ...demo,
    bucket,
    disk,
    lines,
    operations: () => demo.server.requests.slice(before).map(({ operation }) => operation),
    async download({ item = itemOf(), signal = never, disk: given = disk } = {}) {
      const found = await download(
        { ...parts, disk: given, space: createSpace(given) },
        item,
        signal,
      )
      t.after(() => found.part.close())
      return found
    },
    leftovers: () => disk.list(TEMPORARY_FOLDER),
  }
}

function itemOf(media: Partial<Item['media']> = {}): Item {
  return {
    id: 7,
    generation: 1,
    epoch: 3,
    state: 'claimed',
    attempts: 0,
    intent: null,
    archivedAt: null,
    media: {
      mediaId: 70,
      userId: null,
      title: null,
      filename: 'a.mp4',
      contentType: 'video',
      mimeType: 'video/mp4',
      declaredBytes: null,
      objectKey: 'a',
      approvedAt: new Date(),
      ...media,
    },
  }
}

const on =
  (operation: string, fault: Fault, times = 1) =>
  (request: SeenRequest, nth: number): Fault | undefined =>
    request.operation === operation && nth <= times ? fault : undefined

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

/** An object whose ETag says whatever a test wants. */
function made(facts: Partial<VirtualObject> & { bytes?: () => Buffer } = {}): VirtualObject {
  const { bytes = () => BYTES, ...rest } = facts
  return {
    sizeBytes: BYTES.length,
    etag: md5(BYTES),
    lastModified: new Date(Date.now() - 1000),
    read: (offset, length) => bytes().subarray(offset, offset + length),
    ...rest,
  }
}

describe('a download', { concurrency: true }, () => {
  test('is whole, in the temporary of its epoch, and says which version it is', async (t) => {
    const rig = await withRig(t)
    const found = await rig.download()
    assert.equal(found.part.path, '.strongroom/tmp/7.3.part')
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

describe('a transfer that fails', { concurrency: true }, () => {
  const once: [what: string, fault: Fault][] = [
    ['is reset', { kind: 'reset', afterBytes: 100_000 }],
    ['ends early', { kind: 'truncate', afterBytes: 100_000 }],
    ['goes mute', { kind: 'stall', afterBytes: 100_000 }],
    ['is dropped before any answer', { kind: 'drop' }],
    ['meets a 500', { kind: 'answer', status: 500, code: 'InternalError' }],
    ['meets a 503 SlowDown', { kind: 'answer', status: 503, code: 'SlowDown' }],
  ]
  for (const [what, fault] of once) {
    test(`because it ${what} starts again from nothing`, async (t) => {
      const rig = await withRig(t, { fault: on('GetObject', fault), s3: { stallMs: 80 } })
      const found = await rig.download()
      assert.deepEqual(await rig.disk.read(found.part.path, 1e7), BYTES)
      assert.ok(rig.lines.some(({ message }) => /starting again/.test(message)))
    })
  }

  test('twice with 503 succeeds at the third try', async (t) => {
    const busy = { kind: 'answer', status: 503, code: 'ServiceUnavailable' } as const
    const rig = await withRig(t, { fault: on('HeadObject', busy, 2) })
    assert.equal((await rig.download()).sha256, sha256(BYTES))
  })

  test('three times is given up and leaves no temporary', async (t) => {
    const reset = { kind: 'reset', afterBytes: 300_000 } as const
    const rig = await withRig(t, { fault: on('GetObject', reset, 99) })
    await assert.rejects(rig.download(), hasCode('TRANSFER_BROKEN'))
    assert.equal(rig.operations().filter((name) => name === 'GetObject').length, 3)
    assert.deepEqual(await rig.leftovers(), [])
  })

  test('because the object was replaced after the HEAD fetches the new version', async (t) => {
    const other = Buffer.alloc(50_000, 'replaced')
    const rig: Rig = await withRig(t, {
      fault: (request, nth) =>
        request.operation === 'GetObject' && nth === 1
          ? { kind: 'delay', until: rig.admin.put('a', other) }
          : undefined,
    })
    const found = await rig.download()
    assert.equal(found.source.etag, md5(other))
    assert.equal(found.source.sizeBytes, other.length)
    assert.equal(found.sha256, sha256(other))
  })

  test('because its length changed under one ETag is broken', async (t) => {
    const object = made()
    const rig = await withRig(t, {
      virtual: object,
      fault({ operation }) {
        object.sizeBytes = operation === 'GetObject' ? 600_000 : BYTES.length
        return undefined
      },
    })
    await assert.rejects(rig.download(), hasCode('TRANSFER_BROKEN', /600000 of 700000/))
    assert.deepEqual(await rig.leftovers(), [])
  })

  for (const nth of [1, 2]) {
    test(`because it was stopped in the middle of read ${nth} leaves no socket and no temporary`, async (t) => {
      const stop = new AbortController()
      const rig = await withRig(t, {
        virtual: made({ etag: 'opaque' }),
        fault(request, n) {
          if (request.operation !== 'GetObject' || n !== nth) return undefined
          setTimeout(() => stop.abort(), 20)
          return { kind: 'stall', afterBytes: 200_000 }
        },
      })
      await assert.rejects(rig.download({ signal: stop.signal }), hasCode('CANCELLED'))
      assert.deepEqual(await rig.leftovers(), [])
    })
  }

  test('is not tried again after a stop that came while it waited for the next try', async (t) => {
    const stop = new AbortController()
    const rig = await withRig(t, { fault: on('GetObject', { kind: 'drop' }, 99) })
    const failing = rig.download({ signal: stop.signal })
    while (!rig.operations().includes('GetObject'))
      await new Promise((resolve) => setImmediate(resolve))
    while (rig.lines.length === 0) await new Promise((resolve) => setImmediate(resolve))
    stop.abort(new AppError('LEASE_LOST', 'another worker has it'))
    await assert.rejects(failing, hasCode('LEASE_LOST'))
    assert.equal(rig.operations().filter((name) => name === 'GetObject').length, 1)
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
    const full = { ...rig.disk, freeBytes: async () => BYTES.length }
    await assert.rejects(rig.download({ disk: full }), hasCode('DISK_FULL'))
    assert.deepEqual(rig.operations(), ['HeadObject'])
  })
})

describe('the temporary', { concurrency: true }, () => {
  test('of the same epoch is begun anew, that of another one is left alone', async (t) => {
    const rig = await withRig(t)
    for (const epoch of [2, 3]) {
      const old = await rig.disk.create(partPath({ id: 7, epoch }))
      await old.write(Buffer.from(`left by epoch ${epoch}`))
      await old.close()
    }
    await rig.download()
    const of = (epoch: number) => rig.disk.read(partPath({ id: 7, epoch }), 1e7)
    assert.deepEqual(await of(3), BYTES)
    assert.equal(String(await of(2)), 'left by epoch 2')
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
    await assert.rejects(rig.download({ disk }), hasCode('TRANSFER_BROKEN'))
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
