import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Fault } from '../../src/demo/bucket.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Take } from '../../src/storage/bucket.ts'
import type { S3Options } from '../../src/storage/s3.ts'
import { receiveInParts } from '../../src/sync/in-parts.ts'
import type { Pace } from '../../src/sync/pace.ts'
import { receive } from '../../src/sync/transfer.ts'
import { made, md5, on, type Rig, type RigOptions, withRig } from '../support/download-rig.ts'
import { hasCode } from '../support/scopes.ts'
import { listeningLog, never } from '../support/worker.ts'

const MIB = 1 << 20
/** No two parts of it are alike, and the last one is shorter than the others. */
const BYTES = Buffer.alloc(31 * MIB + 12_345)
for (let at = 0; at + 4 <= BYTES.length; at += 4) BYTES.writeUInt32LE(at, at)
const ETAG = md5(BYTES)
const OBJECT = made({ etag: ETAG, sizeBytes: BYTES.length, bytes: () => BYTES })
/** Patient enough for a busy machine, and one test waits for it. */
const STALL = { stallMs: 2000 }

/** A sink that holds everything against the object, in order. */
function reader(from: number, busy: () => Promise<void> | undefined = () => undefined) {
  const found = { at: from }
  const take: Take = (chunk) => {
    const { at } = found
    assert.ok(BYTES.subarray(at, at + chunk.byteLength).equals(chunk), `wrong bytes at ${at}`)
    found.at += chunk.byteLength
    return busy()
  }
  return { take, found }
}

function wantedOf(from: number, signal = never) {
  const facts = {
    etag: ETAG,
    sizeBytes: BYTES.length,
    lastModified: new Date(),
    versionId: null,
    crc64nvme: null,
  }
  return { item: 7, key: 'a', facts, from, signal }
}

function ranges(rig: Rig): [from: number, to: number][] {
  return rig
    .requests()
    .filter(({ operation }) => operation === 'GetObject')
    .map(({ headers }) => {
      assert.equal(headers['if-match'], `"${ETAG}"`, 'every GET names its version')
      const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? 'bytes=0-') ?? []
      return [Number(from), last ? Number(last) + 1 : BYTES.length]
    })
}

const rigOf = (t: TestContext, fault?: RigOptions['fault'], s3: S3Options = {}) =>
  withRig(t, { virtual: OBJECT, s3, ...(fault && { fault }) })

describe('an object in parts', { concurrency: 2 }, () => {
  test('arrives in order, each byte asked for once, from where it is wanted', async (t) => {
    const rig = await rigOf(t)
    const from = 3 * MIB + 7
    const { take, found } = reader(from)
    await receiveInParts({ ...rig, log: listeningLog().log }, wantedOf(from), { take })
    assert.equal(found.at, BYTES.length)
    const asked = ranges(rig).toSorted(([a], [b]) => a - b)
    assert.deepEqual(
      asked.map(([begin]) => begin),
      [from, ...asked.slice(0, -1).map(([, to]) => to)],
    )
    assert.equal(asked.at(-1)?.[1], BYTES.length)
    assert.equal(rig.bucket.openSockets(), 0)
  })

  test('holds no more in memory than its connections, however slow the disk is', async (t) => {
    const twelfth = Promise.withResolvers<void>()
    const rig = await rigOf(t, (_, nth) => {
      if (nth === 12) twelfth.resolve()
      return undefined
    })
    const blocked = Promise.withResolvers<void>()
    const { take, found } = reader(0, () => blocked.promise)
    const under = receiveInParts({ ...rig, log: listeningLog().log }, wantedOf(0), { take })
    await twelfth.promise
    while (rig.bucket.openSockets() > 0) await setImmediate()
    for (let turns = 0; turns < 100; turns++) await setImmediate()
    assert.equal(ranges(rig).length, 12)
    blocked.resolve()
    await under
    assert.equal(found.at, BYTES.length)
  })

  const passing: [what: string, fault: Fault][] = [
    ['is reset', { kind: 'reset', afterBytes: 700_000 }],
    ['ends early', { kind: 'truncate', afterBytes: 700_000 }],
    ['goes mute', { kind: 'stall', afterBytes: 700_000 }],
    ['is dropped before any answer', { kind: 'drop' }],
    ['meets a 503 SlowDown', { kind: 'answer', status: 503, code: 'SlowDown' }],
  ]
  for (const [what, fault] of passing) {
    test(`of which one ${what} arrives all the same`, async (t) => {
      const third: RigOptions['fault'] = (_, nth) => (nth === 3 ? fault : undefined)
      const rig = await rigOf(t, third, fault.kind === 'stall' ? STALL : {})
      const { take, found } = reader(0)
      await receiveInParts({ ...rig, log: listeningLog().log }, wantedOf(0), { take })
      assert.equal(found.at, BYTES.length)
      if (fault.kind === 'truncate')
        assert.ok(
          ranges(rig).some(([from]) => from % (2 * MIB) === 700_000),
          'from where it ended',
        )
    })
  }

  const refusals: [what: string, fault: Fault, code: ErrorCode][] = [
    ['knows no ranges', { kind: 'whole' }, 'TRANSFER_BROKEN'],
    ['refuses them', { kind: 'answer', status: 501, code: 'NotImplemented' }, 'TRANSFER_BROKEN'],
    [
      'sends another range',
      { kind: 'headers', headers: { 'content-range': `bytes 1-${2 * MIB}/${BYTES.length}` } },
      'TRANSFER_BROKEN',
    ],
    [
      'sends parts of an object of another size',
      { kind: 'headers', headers: { 'content-range': `bytes 0-${2 * MIB - 1}/99999999` } },
      'TRANSFER_BROKEN',
    ],
    ['has another version', { kind: 'headers', headers: { etag: '"other"' } }, 'OBJECT_CHANGED'],
    ['has none any more', { kind: 'answer', status: 404, code: 'NoSuchKey' }, 'OBJECT_MISSING'],
  ]
  for (const [what, fault, code] of refusals) {
    test(`from a store that ${what} is ${code}, and no byte of it is taken for another`, async (t) => {
      const rig = await rigOf(t, on('GetObject', fault, 99))
      const { take, found } = reader(0)
      const parts = { ...rig, log: listeningLog().log }
      await assert.rejects(receiveInParts(parts, wantedOf(0), { take }), hasCode(code))
      assert.equal(found.at, 0)
      assert.equal(rig.bucket.openSockets(), 0)
    })
  }

  test('ends with what the sink says, and with its caller', async (t) => {
    const rig = await rigOf(t)
    const parts = { ...rig, log: listeningLog().log }
    const full = new Error('the disk is full')
    const take = () => {
      throw full
    }
    await assert.rejects(receiveInParts(parts, wantedOf(0), { take }), full)
    const caller = new AbortController()
    const leaving = reader(0, () => void caller.abort())
    await assert.rejects(
      receiveInParts(parts, wantedOf(0, caller.signal), leaving),
      hasCode('CANCELLED'),
    )
    assert.equal(rig.bucket.openSockets(), 0)
  })

  test('is asked for no more once nobody wants it', async (t) => {
    const rig = await rigOf(t, (seen, nth) =>
      seen.operation === 'GetObject' && nth === 3
        ? { kind: 'reset', afterBytes: 700_000 }
        : undefined,
    )
    const unwanted = new Error('its archive is gone')
    const stillWanted = () => Promise.reject(unwanted)
    const wanted = { ...wantedOf(0), stillWanted }
    const { take } = reader(0)
    await assert.rejects(
      receiveInParts({ ...rig, log: listeningLog().log }, wanted, { take }),
      unwanted,
    )
  })
})

describe('a slow connection', { concurrency: 2 }, () => {
  /** Slow as soon as so much has come. */
  const slowAfter = (bytes: number): Pace => {
    let came = 0
    return {
      arrived(more) {
        came += more
      },
      ready() {},
      isSlow: () => came > bytes,
    }
  }

  test('is left for several, which go on where it was', async (t) => {
    const rig = await rigOf(t)
    const { take, found } = reader(0)
    const how = { pace: slowAfter(2 * MIB) }
    const pieces = await receive({ ...rig, log: listeningLog().log }, wantedOf(0), { take }, how)
    assert.equal(found.at, BYTES.length)
    assert.ok(pieces > 1, 'the caller must know that no single answer made it up')
    const [first, second, ...more] = ranges(rig)
    assert.deepEqual(first, [0, BYTES.length])
    assert.ok((second?.[0] ?? 0) > MIB && (second?.[0] ?? 0) <= 3 * MIB)
    assert.ok(more.length >= 8)
    assert.equal(rig.bucket.openSockets(), 0)
  })

  test('is kept for the last 16 MiB, and where only one is to be had', async (t) => {
    const rig = await rigOf(t)
    const log = listeningLog().log
    const late = reader(0)
    await receive({ ...rig, log }, wantedOf(0), late, { pace: slowAfter(18 * MIB) })
    const alone = reader(0)
    await receive({ ...rig, log }, wantedOf(0), alone, { pace: slowAfter(0), inOne: true })
    assert.deepEqual([late.found.at, alone.found.at], [BYTES.length, BYTES.length])
    assert.deepEqual(ranges(rig), [
      [0, BYTES.length],
      [0, BYTES.length],
    ])
  })

  for (const [what, fault] of [
    ['knows no ranges', { kind: 'whole' }],
    ['takes no more connections', { kind: 'answer', status: 503, code: 'SlowDown' }],
  ] as const) {
    test(`to a store that ${what} brings it to its end after all`, async (t) => {
      const rig = await rigOf(t, ({ operation, headers }) =>
        operation === 'GetObject' && /-\d+$/.test(headers.range ?? '') ? fault : undefined,
      )
      const { log, lines } = listeningLog()
      const { take, found } = reader(0)
      await receive({ ...rig, log }, wantedOf(0), { take }, { pace: slowAfter(MIB) })
      assert.equal(found.at, BYTES.length)
      assert.ok(lines.some(({ message }) => /several connections cannot bring/.test(message)))
      assert.equal(rig.bucket.openSockets(), 0)
    })
  }
})
