import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Fault } from '../../src/demo/bucket.ts'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import type { Downloaded } from '../../src/sync/download.ts'
import {
  BYTES,
  itemOf,
  made,
  md5,
  on,
  type Rig,
  type RigOptions,
  sha256,
  withRig,
} from '../support/download-rig.ts'
import { hasCode } from '../support/scopes.ts'

/** Patient enough for a busy machine, and no test waits for it more than a few times. */
const STALL = { stallMs: 500 }
const NINETY = BYTES.length * 0.9

/** Where each GET began, and how many bytes it was sent. */
function gets(rig: Rig): { from: number; sentBytes: number; status: number | null }[] {
  return rig
    .requests()
    .filter(({ operation }) => operation === 'GetObject')
    .map(({ headers, sentBytes, status }) => {
      assert.ok(headers['if-match'], 'every GET names its version')
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? 'bytes=0-')?.[1])
      return { from, sentBytes, status }
    })
}

/** The file and what is told of it are the object, whatever the way there was. */
async function assertWhole(rig: Rig, found: Downloaded, bytes = BYTES): Promise<void> {
  assert.deepEqual(await rig.disk.read(found.part.path, 1e8), bytes)
  assert.equal(found.sha256, sha256(bytes))
  assert.deepEqual(await rig.leftovers(), [found.part.path.split('/').at(-1)])
}

describe('a transfer that breaks off', { concurrency: true }, () => {
  const once: [what: string, fault: Fault][] = [
    ['is reset', { kind: 'reset', afterBytes: 400_000 }],
    ['ends early', { kind: 'truncate', afterBytes: 400_000 }],
    ['goes mute', { kind: 'stall', afterBytes: 400_000 }],
    ['is dropped before any answer', { kind: 'drop' }],
    ['meets a 500', { kind: 'answer', status: 500, code: 'InternalError' }],
    ['meets a 503 SlowDown', { kind: 'answer', status: 503, code: 'SlowDown' }],
  ]
  for (const [what, fault] of once) {
    test(`because it ${what} goes on where it ended`, async (t) => {
      const rig = await withRig(t, { fault: on('GetObject', fault), s3: STALL })
      await assertWhole(rig, await rig.download())
      const [, second, ...more] = gets(rig)
      assert.equal(second?.sentBytes, BYTES.length - Number(second?.from))
      assert.deepEqual(more, [])
      if (fault.kind === 'stall') assert.equal(second?.from, 400_000)
      assert.ok(rig.lines.some(({ message }) => /goes on from there/.test(message)))
    })
  }

  test('at 90 % fetches the last tenth again and no more', async (t) => {
    const stall = { kind: 'stall', afterBytes: NINETY } as const
    const rig = await withRig(t, { fault: on('GetObject', stall), s3: STALL })
    await assertWhole(rig, await rig.download())
    assert.deepEqual(gets(rig).slice(1), [
      { from: NINETY, sentBytes: BYTES.length - NINETY, status: 206 },
    ])
  })

  test('again and again comes to its end while every try brings something', async (t) => {
    const bytes = Buffer.alloc(6 << 20, 'a large object on a bad line')
    const stall = { kind: 'stall', afterBytes: (1 << 20) + 1 } as const
    const rig = await withRig(t, { bytes, fault: on('GetObject', stall, 4), s3: STALL })
    await assertWhole(rig, await rig.download(), bytes)
    assert.ok(gets(rig).length >= 5)
  })

  test('three times without progress is given up, and keeps what it has', async (t) => {
    const rig = await withRig(t, {
      s3: STALL,
      fault(request, nth) {
        if (request.operation !== 'GetObject') return undefined
        if (nth === 1) return { kind: 'stall', afterBytes: 300_000 }
        return { kind: 'answer', status: 503, code: 'ServiceUnavailable' }
      },
    })
    await assert.rejects(rig.download(), hasCode('BUCKET_UNAVAILABLE'))
    assert.equal(gets(rig).length, 3)
    const [left = '', ...more] = await rig.leftovers()
    assert.deepEqual(more, [])
    const kept = await rig.disk.read(`.strongroom/tmp/${left}`, 1e7)
    assert.deepEqual(kept, BYTES.subarray(0, 300_000))
  })

  test('three times without a byte is given up and leaves no temporary', async (t) => {
    const rig = await withRig(t, { fault: on('GetObject', { kind: 'drop' }, 99) })
    await assert.rejects(rig.download(), hasCode('BUCKET_UNAVAILABLE'))
    assert.equal(gets(rig).length, 3)
    assert.deepEqual(await rig.leftovers(), [])
  })

  test('before it has begun succeeds at the third try', async (t) => {
    const busy = { kind: 'answer', status: 503, code: 'ServiceUnavailable' } as const
    const rig = await withRig(t, { fault: on('HeadObject', busy, 2) })
    await assertWhole(rig, await rig.download())
  })

  test('in the second of two reads goes on there too', async (t) => {
    const rig = await withRig(t, {
      virtual: made({ etag: 'opaque' }),
      s3: STALL,
      fault: ({ operation }, nth) =>
        operation === 'GetObject' && nth === 2 ? { kind: 'stall', afterBytes: NINETY } : undefined,
    })
    const found = await rig.download()
    assert.deepEqual(found.proof, { kind: 'read-twice', value: null })
    assert.deepEqual(
      gets(rig).map(({ from }) => from),
      [0, 0, NINETY],
    )
  })

  const refusals: [what: string, fault: Fault, asked: number][] = [
    ['knows no ranges', { kind: 'whole' }, 2],
    ['refuses ranges', { kind: 'answer', status: 501, code: 'NotImplemented' }, 3],
    ['finds the range wanting', { kind: 'answer', status: 416, code: 'InvalidRange' }, 3],
    [
      'sends another range',
      { kind: 'headers', headers: { 'content-range': 'bytes 399999-699998/700000' } },
      3,
    ],
    ['cannot count', { kind: 'headers', headers: { 'content-range': 'bytes 400000-699999/*' } }, 3],
  ]
  for (const [what, fault, asked] of refusals) {
    test(`and meets a store that ${what} is sent the whole object, and puts no byte in the wrong place`, async (t) => {
      const rig = await withRig(t, {
        s3: STALL,
        fault({ operation, headers }, nth) {
          if (operation !== 'GetObject') return undefined
          if (nth === 1) return { kind: 'stall', afterBytes: 400_000 }
          return headers.range === undefined ? undefined : fault
        },
      })
      await assertWhole(rig, await rig.download())
      const all = gets(rig)
      assert.equal(all.length, asked)
      assert.equal(all.at(-1)?.sentBytes, BYTES.length)
    })
  }

  test('and whose object was replaced meanwhile is begun anew with the new version', async (t) => {
    const other = Buffer.alloc(500_000, 'replaced')
    const rig: Rig = await withRig(t, {
      s3: STALL,
      fault({ operation }, nth) {
        if (operation !== 'GetObject') return undefined
        if (nth === 1) return { kind: 'stall', afterBytes: NINETY }
        return nth === 2 ? { kind: 'delay', until: rig.admin.put('a', other) } : undefined
      },
    })
    const found = await rig.download()
    await assertWhole(rig, found, other)
    assert.equal(found.source.etag, md5(other))
    assert.deepEqual(gets(rig).slice(1), [
      { from: NINETY, sentBytes: gets(rig)[1]?.sentBytes, status: 412 },
      { from: 0, sentBytes: other.length, status: 200 },
    ])
  })

  test('and whose object is replaced each time is left to a later run, without a temporary', async (t) => {
    let version = 0
    const rig: Rig = await withRig(t, {
      fault: ({ operation }) =>
        operation === 'GetObject'
          ? { kind: 'delay', until: rig.admin.put('a', `version ${version++}`) }
          : undefined,
    })
    await assert.rejects(rig.download(), hasCode('OBJECT_CHANGED'))
    assert.deepEqual(await rig.leftovers(), [])
  })

  test('and whose object is gone meanwhile leaves no temporary', async (t) => {
    const rig: Rig = await withRig(t, {
      s3: STALL,
      fault({ operation }, nth) {
        if (operation !== 'GetObject') return undefined
        if (nth === 1) return { kind: 'stall', afterBytes: NINETY }
        return { kind: 'delay', until: rig.admin.delete('a') }
      },
    })
    await assert.rejects(rig.download(), hasCode('OBJECT_MISSING'))
    assert.deepEqual(await rig.leftovers(), [])
  })

  test('and goes on with a flipped bit is fetched as a whole before it is called corrupt', async (t) => {
    const rig = await withRig(t, {
      s3: STALL,
      fault({ operation }, nth) {
        if (operation !== 'GetObject') return undefined
        if (nth === 1) return { kind: 'stall', afterBytes: NINETY }
        return nth === 2 ? { kind: 'flip', atByte: 60_000 } : undefined
      },
    })
    await assertWhole(rig, await rig.download())
    assert.deepEqual(
      gets(rig).map(({ from }) => from),
      [0, NINETY, 0],
    )
  })

  test('and comes with a flipped bit as a whole too is corrupt and leaves no temporary', async (t) => {
    const rig = await withRig(t, {
      s3: STALL,
      fault({ operation }, nth) {
        if (operation !== 'GetObject') return undefined
        if (nth === 1) return { kind: 'stall', afterBytes: NINETY }
        return { kind: 'flip', atByte: 60_000 }
      },
    })
    await assert.rejects(rig.download(), hasCode('TRANSFER_CORRUPT'))
    assert.equal(gets(rig).length, 3)
    assert.deepEqual(await rig.leftovers(), [])
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

  test('and whose temporary was taken away meanwhile does not go on for nothing', async (t) => {
    const rig = await withRig(t, {
      s3: STALL,
      fault: on('GetObject', { kind: 'stall', afterBytes: NINETY }),
    })
    const failing = rig.download()
    while (rig.lines.length === 0) await setImmediate()
    for (const name of await rig.leftovers()) await rig.disk.unlink(`.strongroom/tmp/${name}`)
    await assert.rejects(failing, hasCode('FILE_MISSING'))
    assert.equal(gets(rig).length, 1)
  })

  test('is not tried again after a stop that came while it waited for the next try', async (t) => {
    const stop = new AbortController()
    const rig = await withRig(t, { fault: on('GetObject', { kind: 'drop' }, 99) })
    const failing = rig.download({ signal: stop.signal })
    while (rig.lines.length === 0) await setImmediate()
    stop.abort(new AppError('LEASE_LOST', 'another worker has it'))
    await assert.rejects(failing, hasCode('LEASE_LOST'))
    assert.equal(gets(rig).length, 1)
  })

  for (const nth of [1, 2]) {
    test(`because it was stopped in the middle of read ${nth} leaves no socket, and its bytes to the next epoch`, async (t) => {
      const stop = new AbortController()
      const rig = await withRig(t, {
        virtual: made({ etag: 'opaque' }),
        fault(request, n) {
          if (request.operation !== 'GetObject' || n !== nth) return undefined
          return { kind: 'stall', afterBytes: 200_000 }
        },
      })
      const failing = rig.download({ signal: stop.signal })
      const sizeBytes = nth === 1 ? 200_000 : BYTES.length
      while (!(await sizesOf(rig)).includes(sizeBytes)) await setImmediate()
      while (gets(rig).length < nth) await setImmediate()
      stop.abort()
      await assert.rejects(failing, hasCode('CANCELLED'))
      assert.deepEqual(await sizesOf(rig), [sizeBytes])
      const next = await rig.download({ item: itemOf({}, 4) })
      await assertWhole(rig, next)
      const { from } = gets(rig)[nth] ?? {}
      assert.equal(from, nth === 1 ? 200_000 : 0, 'a second read is of all bytes')
    })
  }
})

async function sizesOf({ disk, leftovers }: Rig): Promise<(number | undefined)[]> {
  const names = await leftovers()
  return Promise.all(
    names.map(async (name) => (await disk.stat(`.strongroom/tmp/${name}`))?.sizeBytes),
  )
}

describe('what an earlier epoch left', { concurrency: true }, () => {
  const proofs: [kind: string, options: RigOptions][] = [
    ['crc64nvme', {}],
    ['md5', { checksums: false }],
    [
      'md5-of-parts',
      {
        virtual: made({
          etag: etagOfParts(BYTES.subarray(0, 400_000), BYTES.subarray(400_000)),
          parts: [400_000, 300_000],
        }),
      },
    ],
    ['read-twice', { virtual: made({ etag: 'opaque' }) }],
    ['opaque-etag', { virtual: made({ etag: 'f'.repeat(32) }) }],
  ]
  for (const [kind, options] of proofs) {
    test(`at 90 % saves nine tenths of the way, and all bytes are proven (${kind})`, async (t) => {
      const rig = await withRig(t, options)
      await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, NINETY) })
      const found = await rig.download()
      await assertWhole(rig, found)
      assert.equal(found.proof.kind, kind)
      const [first, ...more] = gets(rig)
      assert.deepEqual([first?.from, first?.sentBytes], [NINETY, BYTES.length / 10])
      const twice = kind === 'read-twice' || kind === 'opaque-etag'
      assert.deepEqual(
        more.map(({ from, sentBytes }) => [from, sentBytes]),
        twice ? [[0, BYTES.length]] : [],
      )
    })
  }

  test('whole needs no transfer, only the proof', async (t) => {
    const rig = await withRig(t)
    await rig.leave({ epoch: 2, bytes: BYTES })
    await assertWhole(rig, await rig.download())
    assert.deepEqual(gets(rig), [])
  })

  test('is read and removed, never written to; the longest prefix counts', async (t) => {
    const rig = await withRig(t)
    const path = await rig.leave({ epoch: 1, bytes: BYTES.subarray(0, NINETY) })
    await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, 10) })
    await rig.disk.link(path, 'witness')
    await rig.disk.unlink(path)
    await rig.leave({ epoch: 1, bytes: BYTES.subarray(0, NINETY) })
    await assertWhole(rig, await rig.download())
    assert.deepEqual(await rig.disk.read('witness', 1e7), BYTES.subarray(0, NINETY))
    assert.equal(gets(rig)[0]?.from, NINETY)
  })

  const useless: [what: string, leave: (rig: Rig) => Promise<unknown>][] = [
    [
      'of another version',
      (rig) => rig.leave({ epoch: 2, bytes: BYTES.subarray(0, NINETY), etag: 'other' }),
    ],
    [
      'longer than the object',
      (rig) => rig.leave({ epoch: 2, bytes: Buffer.concat([BYTES, Buffer.from('x')]) }),
    ],
    ['empty', (rig) => rig.leave({ epoch: 2, bytes: Buffer.alloc(0) })],
    [
      'under two names',
      async (rig) =>
        rig.disk.link(await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, 9) }), 'other name'),
    ],
  ]
  for (const [what, leave] of useless) {
    test(`${what} is not used and goes`, async (t) => {
      const rig = await withRig(t)
      await leave(rig)
      await assertWhole(rig, await rig.download())
      assert.deepEqual(gets(rig), [{ from: 0, sentBytes: BYTES.length, status: 200 }])
    })
  }

  const spoilt: [what: string, spoil: (bytes: Buffer) => Buffer][] = [
    ['with one flipped bit', flipped],
    ['whose end a power cut turned to zeros', (bytes) => bytes.fill(0, NINETY - 65_536)],
    ['whose pages a power cut mixed up', (bytes) => bytes.fill(0, 4096, 8192)],
  ]
  for (const [what, spoil] of spoilt) {
    for (const checksums of [true, false]) {
      test(`${what} is caught by the proof (${checksums ? 'CRC-64' : 'MD5'}), and all is fetched anew`, async (t) => {
        const rig = await withRig(t, { checksums })
        const bytes = spoil(Buffer.from(BYTES.subarray(0, NINETY)))
        await rig.leave({ epoch: 2, bytes })
        await assertWhole(rig, await rig.download())
        const last = gets(rig).at(-1)
        assert.deepEqual([last?.from, last?.sentBytes], [0, BYTES.length])
      })
    }
  }

  test('with a flipped bit where only two reads prove anything is caught, and all is fetched anew', async (t) => {
    const rig = await withRig(t, { virtual: made({ etag: 'opaque' }) })
    await rig.leave({ epoch: 2, bytes: flipped(Buffer.from(BYTES.subarray(0, NINETY))) })
    const found = await rig.download()
    await assertWhole(rig, found)
    assert.equal(found.proof.kind, 'read-twice')
    assert.deepEqual(
      gets(rig).map(({ from }) => from),
      [NINETY, 0, 0, 0],
    )
  })

  test('of a later epoch or of another item is left alone', async (t) => {
    const rig = await withRig(t)
    const later = await rig.leave({ epoch: 4, bytes: BYTES.subarray(0, NINETY) })
    const file = await rig.disk.create(later.replace('/7.4.', '/8.1.'))
    await file.close()
    await rig.download()
    assert.equal(gets(rig)[0]?.from, 0)
    assert.equal((await rig.leftovers()).length, 3)
  })

  test('counts as long as it was when it was looked at: its owner may wake and write on', async (t) => {
    const rig = await withRig(t)
    const path = await rig.leave({ epoch: 2, bytes: Buffer.alloc(0) })
    await rig.disk.unlink(path)
    const owner = await rig.disk.create(path)
    t.after(() => owner.close())
    await owner.write(BYTES.subarray(0, NINETY))
    const disk: Disk = {
      ...rig.disk,
      async *chunks(asked, signal) {
        await owner.write(Buffer.from('what comes now is of no concern to us'))
        yield* rig.disk.chunks(asked, signal)
      },
    }
    await assertWhole(rig, await rig.download({ disk }))
    assert.deepEqual(
      gets(rig).map(({ from }) => from),
      [NINETY],
    )
    await owner.write(Buffer.from('it is the owner’s file still'))
  })

  test('that the disk cannot read to its end is used as far as it goes', async (t) => {
    const rig = await withRig(t)
    await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, NINETY) })
    const disk: Disk = {
      ...rig.disk,
      async *chunks() {
        yield BYTES.subarray(0, 300_000)
        throw new AppError('DISK_SICK', 'a bad sector')
      },
    }
    await assertWhole(rig, await rig.download({ disk }))
    assert.equal(gets(rig)[0]?.from, 300_000)
    assert.ok(rig.lines.some(({ message }) => /cannot be read/.test(message)))
  })

  test('stays when the copying is stopped, and serves the epoch after', async (t) => {
    const rig = await withRig(t)
    await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, NINETY) })
    const stop = new AbortController()
    const disk: Disk = {
      ...rig.disk,
      async *chunks(path, signal) {
        yield BYTES.subarray(0, 100_000)
        stop.abort()
        yield* rig.disk.chunks(path, signal)
      },
    }
    await assert.rejects(rig.download({ disk, signal: stop.signal }), hasCode('CANCELLED'))
    assert.deepEqual((await sizesOf(rig)).sort(), [100_000, NINETY])
    await assertWhole(rig, await rig.download({ item: itemOf({}, 4) }))
    assert.equal(gets(rig)[0]?.from, NINETY)
  })

  test('is not looked for by a first epoch', async (t) => {
    const rig = await withRig(t)
    const list = () => assert.fail('nobody can have left anything')
    await rig.download({ item: itemOf({}, 1), disk: { ...rig.disk, list } })
  })
})

describe('a disk without room for an interrupted download beside the new one', () => {
  test('gives up the interrupted one', async (t) => {
    const rig = await withLeftover(t)
    // Room for one copy of the object, not for nine tenths beside it.
    const disk = { ...rig.disk, freeBytes: async () => ((await rig.leftBytes()) ? 1e6 : 2e6) }
    await assertWhole(rig, await rig.download({ disk }))
    assert.equal(gets(rig)[0]?.from, 0)
  })

  test('gives it up also when only writing shows it, as with a quota', async (t) => {
    const rig = await withLeftover(t)
    const disk: Disk = {
      ...rig.disk,
      async create(path) {
        const file = await rig.disk.create(path)
        if ((await rig.leftBytes()) === 0) return file
        const write = async () => {
          throw new AppError('DISK_FULL', 'the quota is used up')
        }
        return Object.assign(Object.create(file) as typeof file, { write })
      },
    }
    await assertWhole(rig, await rig.download({ disk }))
    assert.equal(gets(rig)[0]?.from, 0)
  })

  test('leaves those alone that are being written now', async (t) => {
    const rig = await withLeftover(t)
    rig.current.set(8, { epoch: 1, state: 'claimed', leased: true })
    const path = `.strongroom/tmp/8.1.${'0'.repeat(16)}.part`
    const file = await rig.disk.create(path)
    t.after(() => file.close())
    const disk = { ...rig.disk, freeBytes: async () => 1e6 }
    await assert.rejects(rig.download({ disk }), hasCode('DISK_FULL'))
    assert.deepEqual(await rig.leftovers(), [path.split('/').at(-1)])
    assert.deepEqual(gets(rig), [])
  })
})

/** Nine tenths left by epoch 2 of item 7, which is in its third one now. */
async function withLeftover(t: TestContext): Promise<Rig & { leftBytes(): Promise<number> }> {
  const rig = await withRig(t)
  const path = await rig.leave({ epoch: 2, bytes: BYTES.subarray(0, NINETY) })
  rig.current.set(7, { epoch: 3, state: 'claimed', leased: true })
  const leftBytes = async () => (await rig.disk.stat(path))?.sizeBytes ?? 0
  return { ...rig, leftBytes }
}

function flipped(bytes: Buffer): Buffer {
  bytes[300_000] = (bytes[300_000] ?? 0) ^ 1
  return bytes
}

function etagOfParts(...parts: Buffer[]): string {
  const digests = Buffer.concat(parts.map((part) => Buffer.from(md5(part), 'hex')))
  return `${md5(digests)}-${parts.length}`
}
