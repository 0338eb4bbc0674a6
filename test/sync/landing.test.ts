import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../../src/errors.ts'
import { openDisk } from '../../src/storage/disk.ts'
import type { NewFile } from '../../src/storage/new-file.ts'
import { type Landing, openLanding } from '../../src/sync/landing.ts'
import type { ProofPlan } from '../../src/sync/proof.ts'
import { hasCode } from '../support/scopes.ts'

const MIB = 1 << 20

function filled(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += 4)
    bytes.writeUInt32LE((at * 2_654_435_761 + seed) >>> 0, at)
  return bytes
}

/** Remembers what was written, each write after a turn of the event loop. */
function slowFile(onWrite: (bytes: number) => Promise<void> | void = () => {}) {
  const writes: Buffer[] = []
  let busy = false
  return {
    isDirect: false,
    writes,
    async write(chunk: Uint8Array) {
      assert.equal(busy, false, 'one write at a time')
      busy = true
      await onWrite(chunk.byteLength)
      await new Promise(setImmediate)
      writes.push(Buffer.from(chunk))
      busy = false
    },
    readBack: async () => false,
  }
}

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('bytes that land', { concurrency: 2 }, () => {
  test('in any chunks are written in order and hashed as they are', async () => {
    const sizes = fc.oneof(
      fc.integer({ min: 0, max: 3000 }),
      fc.integer({ min: MIB - 2, max: 4 * MIB }),
    )
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 9 }), async (size, cuts) => {
        const bytes = filled(size, cuts)
        const file = slowFile()
        const plan: ProofPlan = { kind: 'md5', expected: '' }
        const landing = await openLanding(file, { plan, sizeBytes: size })
        const step = Math.ceil(size / cuts) + 1
        for (let at = 0; at < size; at += step) await landing.take(bytes.subarray(at, at + step))
        const found = await landing.finish()
        assert.deepEqual(found, {
          sha256: sha256(bytes),
          value: md5(bytes),
          isReadBack: false,
        })
        assert.ok(Buffer.concat(file.writes).equals(bytes))
      }),
      { numRuns: 25 },
    )
  })

  test('are hashed right when many downloads share the threads', async () => {
    const all = Array.from({ length: 40 }, (_, n) => filled(2 * MIB + n, n))
    const found = await Promise.all(
      all.map(async (bytes) => {
        const landing = await openLanding(slowFile(), { plan: null, sizeBytes: bytes.length })
        for (let at = 0; at < bytes.length; at += 65_536)
          await landing.take(bytes.subarray(at, at + 65_536))
        return (await landing.finish()).sha256
      }),
    )
    assert.deepEqual(found, all.map(sha256))
  })

  test('wait while the disk is slow, in no more memory than a few blocks', async () => {
    const size = 64 * MIB
    const bytes = filled(size)
    const gate = Promise.withResolvers<void>()
    const landing = await openLanding(
      slowFile(() => gate.promise),
      { plan: null, sizeBytes: size },
    )
    let taken = 0
    let wait: Promise<void> | undefined
    for (; wait === undefined; taken += MIB) wait = landing.take(bytes.subarray(taken, taken + MIB))
    assert.ok(taken <= 32 * MIB, `${taken} bytes were taken`)
    gate.resolve()
    await wait
    for (; taken < size; taken += MIB) await landing.take(bytes.subarray(taken, taken + MIB))
    assert.equal((await landing.finish()).sha256, sha256(bytes))
  })

  test('are not taken any more once a write has failed, and nothing is written behind the gap', async () => {
    const bytes = filled(8 * MIB)
    let writes = 0
    const file = slowFile(() => {
      writes += 1
      if (writes === 2) throw new AppError('DISK_FULL', 'full')
    })
    const landing = await openLanding(file, { plan: null, sizeBytes: bytes.length })
    const all = async () => {
      for (let at = 0; at < bytes.length; at += MIB)
        await landing.take(bytes.subarray(at, at + MIB))
      await landing.finish()
    }
    await assert.rejects(all, hasCode('DISK_FULL'))
    await landing.abandon()
    assert.equal(writes, 2)
  })

  test('are on the disk soon after the line went quiet, so that a kill costs nothing', async () => {
    const bytes = filled(3 * MIB)
    const written = Promise.withResolvers<number>()
    const file = slowFile((count) => written.resolve(count))
    const landing = await openLanding(file, { plan: null, sizeBytes: bytes.length })
    await landing.take(bytes.subarray(0, 77))
    assert.equal(await written.promise, 77)
    await landing.take(bytes.subarray(77))
    assert.equal((await landing.finish()).sha256, sha256(bytes))
    assert.ok(Buffer.concat(file.writes).equals(bytes))
  })

  test('and are abandoned are all on the disk, so that a later run goes on from there', async () => {
    const bytes = filled(3 * MIB)
    const file = slowFile()
    const landing = await openLanding(file, { plan: null, sizeBytes: bytes.length })
    await landing.take(bytes.subarray(0, 2 * MIB + 77))
    await landing.abandon()
    assert.ok(Buffer.concat(file.writes).equals(bytes.subarray(0, 2 * MIB + 77)))
  })
})

test('a large file is hashed in a thread as a small one is here, and a signal ends that', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-landing-'))
  t.after(() => rm(folder, { recursive: true }))
  const disk = await openDisk(folder)
  for (const size of [0, 1, 2 * MIB - 1, 2 * MIB, 4 * MIB, 9 * MIB + 5]) {
    const bytes = filled(size)
    const file = await disk.create(`f${size}`)
    await file.write(bytes)
    await file.seal(0o600)
    const { sha256: found, sizeBytes } = await disk.hash(`f${size}`)
    assert.deepEqual([found, sizeBytes], [sha256(bytes), size])
  }
  await assert.rejects(disk.hash(`f${9 * MIB + 5}`, AbortSignal.abort()), hasCode('CANCELLED'))
})

describe('what is read back', { concurrency: 2 }, () => {
  const bytes = filled(9 * MIB + 5)
  /** In chunks that end within blocks. */
  async function land(file: Partial<NewFile>) {
    const direct = { isDirect: true, write: async () => {}, readBack: async () => true, ...file }
    const plan: ProofPlan = { kind: 'md5', expected: '' }
    const how = { plan, sizeBytes: bytes.length, readsBack: true }
    const landing = await openLanding(direct, how)
    try {
      for (let at = 0; at < bytes.length; at += 700_000)
        await landing.take(bytes.subarray(at, at + 700_000))
      return await landing.finish()
    } catch (error) {
      await landing.abandon()
      throw error
    }
  }

  test('was hashed after it was written: a bit that flips in memory before shows in the hashes', async () => {
    const written: Buffer[] = []
    const { sha256: found, value } = await land({
      async write(chunk) {
        await new Promise(setImmediate)
        chunk[0] = (chunk[0] ?? 0) ^ 1
        written.push(Buffer.from(chunk))
      },
    })
    const all = Buffer.concat(written)
    assert.ok(!all.equals(bytes))
    assert.deepEqual([found, value], [sha256(all), md5(all)])
  })

  test('lies in memory as it was until it is compared, one block at a time and each once', async () => {
    const starts: number[] = []
    let busy = false
    const { isReadBack } = await land({
      async readBack(block, start) {
        assert.equal(busy, false)
        busy = true
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
        assert.ok(bytes.subarray(start, start + MIB).equals(block))
        starts.push(start)
        busy = false
        return true
      },
    })
    assert.equal(isReadBack, true)
    assert.deepEqual(
      starts,
      Array.from({ length: 10 }, (_, n) => n * MIB),
    )
  })

  for (const odd of [0, 4, 9])
    test(`is not all of it where block ${odd} could not be`, async () => {
      const { isReadBack } = await land({ readBack: async (_, start) => start !== odd * MIB })
      assert.equal(isReadBack, false)
    })

  test('and differs fails the download', async () => {
    const differs = async (_: Uint8Array, start: number) => {
      if (start === 4 * MIB) throw new AppError('DISK_SICK', 'other bytes')
      return true
    }
    await assert.rejects(land({ readBack: differs }), hasCode('DISK_SICK'))
  })

  test('is nothing of a file that goes through the cache', async () => {
    const readBack = () => assert.fail('it was asked for')
    assert.equal((await land({ isDirect: false, readBack })).isReadBack, false)
  })
})

/**
 * Feeds a landing as a connection does: where the next bytes are to go is asked as soon as some were given, and memory that is
 * not lent is overwritten as soon as what lay there is taken.
 */
async function readInto(
  landing: Landing,
  bytes: Uint8Array,
  { sizes, between }: { sizes: readonly number[]; between: (read: number) => void },
): Promise<void> {
  const own = Buffer.alloc(64 << 10)
  let memory: Uint8Array = own
  for (let at = 0, read = 0; at < bytes.length; read++) {
    const size = Math.min(sizes[read % sizes.length] ?? 1, memory.length)
    const next = bytes.subarray(at, at + size)
    memory.set(next)
    const taken = landing.take(memory.subarray(0, next.length))
    const lent = landing.room() ?? own
    await taken
    own.fill(0)
    between(read)
    memory = lent
    at += next.length
  }
}

test('a socket that writes into the memory it was lent spoils nothing that came before, however many downloads share the blocks', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const downloads = fc.record({
    sizeBytes: fc.integer({ min: MIB + 1, max: 3 * MIB }),
    // It goes on in the middle of a block.
    before: fc.integer({ min: 0, max: MIB }),
    sizes: fc.array(fc.integer({ min: 4_000, max: 100_000 }), { minLength: 1, maxLength: 9 }),
    quietAt: fc.integer({ min: 1, max: 9 }),
    others: fc.integer({ min: 0, max: 9 }),
  })
  await fc.assert(
    fc.asyncProperty(downloads, async ({ sizeBytes, before, sizes, quietAt, others }) => {
      const bytes = filled(sizeBytes)
      const open = (file: ReturnType<typeof slowFile> | null) =>
        openLanding(file, { plan: null, sizeBytes })
      const beside = await Promise.all(Array.from({ length: others }, () => open(null)))
      const file = slowFile()
      const landing = await open(file)
      await landing.take(bytes.subarray(0, before))
      const between = (read: number) => {
        if (read % quietAt === 0) t.mock.timers.tick(1000)
      }
      await readInto(landing, bytes.subarray(before), { sizes, between })
      const found = await landing.finish()
      for (const other of beside) await other.abandon()
      assert.ok(Buffer.concat(file.writes).equals(bytes), 'what is written')
      assert.equal(found.sha256, sha256(bytes), 'what is hashed')
    }),
    { numRuns: 40 },
  )
})
