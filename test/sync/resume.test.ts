import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import type { Space } from '../../src/sync/space.ts'
import {
  assertWhole,
  BYTES,
  gets,
  itemOf,
  made,
  md5,
  type Rig,
  type RigOptions,
  sizesOf,
  withRig,
} from '../support/download-rig.ts'
import { hasCode } from '../support/scopes.ts'

const NINETY = BYTES.length * 0.9

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

  test('counts as room taken, and as room to be taken again once it is discarded', async (t) => {
    const rig = await withRig(t)
    await rig.leave({ epoch: 2, bytes: flipped(Buffer.from(BYTES.subarray(0, NINETY))) })
    let promised = 0
    const outstanding: number[] = []
    const space: Pick<Space, 'reserve'> = {
      async reserve(sizeBytes) {
        promised = sizeBytes
        return {
          wrote: async (bytes) => {
            promised -= bytes
          },
          discarded: (bytes) => {
            outstanding.push(promised)
            promised += bytes
          },
          end: () => void outstanding.push(promised),
        }
      },
    }
    await rig.download({ space })
    assert.deepEqual(outstanding, [0, 0])
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
    const freeBytes = async () => ((await rig.leftBytes()) ? 1e6 : 2e6)
    const room = async () => ({ freeBytes: await freeBytes(), totalBytes: 1e9 })
    const disk = { ...rig.disk, room }
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
    const disk = { ...rig.disk, room: async () => ({ freeBytes: 1e6, totalBytes: 1e9 }) }
    await assert.rejects(rig.download({ disk }), hasCode('DISK_LOW'))
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
