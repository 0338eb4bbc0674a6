import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Fault } from '../../src/demo/bucket.ts'
import { AppError } from '../../src/errors.ts'
import type { Body, Take } from '../../src/storage/bucket.ts'
import { openS3 } from '../../src/storage/s3.ts'
import { receive } from '../../src/sync/transfer.ts'
import { bodyByHand, bodyOfChunks } from '../support/bodies.ts'
import {
  assertWhole,
  BYTES,
  gets,
  itemOf,
  made,
  md5,
  on,
  type Rig,
  sizesOf,
  withRig,
} from '../support/download-rig.ts'
import { hasCode } from '../support/scopes.ts'
import { listeningLog, never } from '../support/worker.ts'

/** Patient enough for a busy machine, and no test waits for it more than a few times. */
const STALL = { stallMs: 500 }
const NINETY = BYTES.length * 0.9

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
      const awaited = nth === 1 ? 200_000 : BYTES.length + 200_000
      while (rig.arrived.bytes < awaited) await setImmediate()
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

describe('the last chunk', () => {
  /** Nothing is sent to it. */
  const place = { endpoint: 'http://127.0.0.1:1', region: 'auto', bucket: 'b' }
  const unused = openS3({ ...place, accessKey: 'a', secretKey: 's' })
  const facts = {
    etag: 'e',
    sizeBytes: 4,
    lastModified: new Date(),
    versionId: null,
    crc64nvme: null,
  }
  const wanted = { item: 1, key: 'k', facts, from: 0, signal: never }
  const receiving = (bodies: Body[], take: Take) => {
    const get = async (_key: string, { from = 0 }) => {
      const [body] = bodies.splice(0, 1)
      assert.ok(body)
      return { sizeBytes: 4, from, etag: 'e', body }
    }
    return receive({ bucket: { ...unused, get }, log: listeningLog().log }, wanted, { take })
  }

  test('is taken before the transfer is over, however long that takes', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const body = bodyByHand(4)
    let isOver = false
    const received = receiving([body], () => promise).then(() => {
      isOver = true
    })
    await setImmediate()
    body.data(Buffer.from('last'))
    body.end()
    await setImmediate()
    assert.equal(isOver, false)
    assert.deepEqual(body.told, ['resume'])
    resolve()
    await received
    assert.deepEqual(body.told, ['resume', 'release'])
  })

  test('that cannot be taken fails the transfer', async () => {
    const full = new AppError('DISK_FULL', 'no room')
    const body = bodyByHand(4)
    const received = receiving([body], async () => {
      await setImmediate()
      throw full
    })
    await setImmediate()
    body.data(Buffer.from('last'))
    body.end()
    await assert.rejects(received, hasCode('DISK_FULL'))
  })

  test('is taken before what breaks off goes on', async () => {
    const told: string[] = []
    const body = bodyByHand(4)
    const take: Take = async (chunk) => {
      told.push(`begin ${chunk}`)
      body.broke()
      for (let turn = 0; turn < 10; turn++) await setImmediate()
      told.push(`end ${chunk}`)
    }
    const received = receiving([body, bodyOfChunks([Buffer.from('st')])], take)
    await setImmediate()
    body.data(Buffer.from('la'))
    await received
    assert.deepEqual(told, ['begin la', 'end la', 'begin st', 'end st'])
  })
})
