/** Large files go to the disk and come from it past the page cache, where the file system lets them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openFolderAlone } from '../../src/open/folders.ts'
import { newSharedPages } from '../../src/pages.js'
import { DIRECT_BYTES } from '../../src/storage/direct.ts'
import { openDisk } from '../../src/storage/disk.ts'
import { openLanding } from '../../src/sync/landing.ts'
import { parse } from '../support/config.ts'
import { knowsDirect } from '../support/direct.ts'
import { hasCode, mountsRefused, type Scope, withFolder, withVolume } from '../support/scopes.ts'

const KIB = 1 << 10
const MIB = 1 << 20
const random = randomBytes(4 * MIB)

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** As the memory of a landing: it begins with a page. */
function paged(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(newSharedPages(bytes.byteLength), 0, bytes.byteLength)
  memory.set(bytes)
  return memory
}

async function withDisk(t: Scope) {
  const folder = await withFolder(t)
  return { folder, disk: await openDisk(folder) }
}

/** Of a file, by util-linux. */
function cachedBytes(path: string): number {
  const told = execFileSync('fincore', ['--bytes', '--raw', '--noheadings', '-o', 'RES', path])
  return Number(told)
}

describe('past the page cache', () => {
  let bytes: Buffer
  before(() => {
    bytes = randomBytes(DIRECT_BYTES + 5 * MIB + 4321)
  })

  test('a large download is written, and read again, without a trace of it in memory', async (t) => {
    const { folder, disk } = await withDisk(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const file = await disk.create('large', bytes.length)
    const landing = await openLanding(file, { plan: null, sizeBytes: bytes.length })
    for (let at = 0; at < bytes.length; at += 300 * KIB)
      await landing.take(bytes.subarray(at, at + 300 * KIB))
    assert.equal((await landing.finish()).sha256, sha256(bytes))
    await file.seal(0o640)
    assert.ok(cachedBytes(join(folder, 'large')) <= 2 * MIB)
    const { sha256: found, sizeBytes } = await disk.hash('large')
    assert.deepEqual([found, sizeBytes], [sha256(bytes), bytes.length])
    assert.ok(cachedBytes(join(folder, 'large')) <= 2 * MIB)
    assert.ok((await readFile(join(folder, 'large'))).equals(bytes))
  })

  test('a large file that lies in the cache, and is not on the disk yet, is hashed as it is', async (t) => {
    const { folder, disk } = await withDisk(t)
    await writeFile(join(folder, 'fresh'), bytes)
    assert.equal((await disk.hash('fresh')).sha256, sha256(bytes))
  })
})

test('a disk that fills up in the middle is told of, and holds what came before', {
  skip: mountsRefused(),
}, async (t) => {
  const { folder } = await withVolume(t, 10 * MIB)
  const disk = await openDisk(folder)
  const file = await disk.create('f', DIRECT_BYTES)
  const landing = await openLanding(file, { plan: null, sizeBytes: DIRECT_BYTES })
  const fill = async () => {
    for (let n = 0; n < 16; n++) await landing.take(random.subarray(0, MIB))
    await landing.finish()
  }
  await assert.rejects(fill, hasCode('DISK_FULL'))
  await landing.abandon()
  await file.close()
  const found = await readFile(join(folder, 'f'))
  assert.ok(found.length >= 8 * MIB)
  const sent = Buffer.concat(Array.from({ length: 16 }, () => random.subarray(0, MIB)))
  assert.ok(found.equals(sent.subarray(0, found.length)))
})

test('pieces of any length, whole sectors or not, make up the file in their order', async (t) => {
  const { folder, disk } = await withDisk(t)
  const lengths = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 10_000 }), fc.constantFrom(4096, 8192, 64 * KIB, 256 * KIB)),
    { minLength: 1, maxLength: 12 },
  )
  let name = 0
  await fc.assert(
    fc.asyncProperty(lengths, async (pieces) => {
      const path = `f${name++}`
      const memory = paged(random)
      const file = await disk.create(path, DIRECT_BYTES)
      let at = 0
      for (const length of pieces) {
        await file.write(memory.subarray(at, at + length))
        at += length
      }
      assert.equal(file.sizeBytes, at)
      await file.seal(0o640)
      assert.ok((await readFile(join(folder, path))).equals(random.subarray(0, at)))
    }),
    { numRuns: 200 },
  )
})

test('what the file system refuses to take directly goes through the cache', async (t) => {
  const { folder, disk } = await withDisk(t)
  const file = await disk.create('f', DIRECT_BYTES)
  // Its memory is malloc's, and begins anywhere: EINVAL.
  const unaligned = new Uint8Array(new ArrayBuffer(MIB))
  unaligned.set(random.subarray(0, MIB))
  await file.write(unaligned)
  await file.write(paged(random.subarray(MIB, 2 * MIB)))
  await file.seal(0o640)
  assert.ok((await readFile(join(folder, 'f'))).equals(random.subarray(0, 2 * MIB)))
})

for (const [value, instead] of Object.entries({ true: 'past', false: 'through' }))
  test(`DIRECT_IO=${value} sends a large file ${instead} the cache`, async (t) => {
    const folder = await withFolder(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const { disk } = await openFolderAlone(parse({ ARCHIVE_DIR: folder, DIRECT_IO: value }))
    const file = await disk.create('f', DIRECT_BYTES)
    const memory = paged(random)
    for (let n = 0; n < 16; n++) await file.write(memory)
    assert.equal(await file.readBack(memory, 0), value === 'true')
    await file.seal(0o640)
    await disk.hash('f')
    assert.equal(cachedBytes(join(folder, 'f')) > DIRECT_BYTES / 2, value === 'false')
  })

describe('what was written is read back', { concurrency: 2 }, () => {
  const bytes = random.subarray(0, 3 * MIB + 1234)
  const written = async (t: TestContext, expectedBytes = DIRECT_BYTES) => {
    const { folder, disk } = await withDisk(t)
    const file = await disk.create('f', expectedBytes)
    const memory = paged(bytes)
    await file.write(memory)
    return { folder, file, memory, path: join(folder, 'f') }
  }

  test('as it lies on the disk, to a last sector that is not whole', async (t) => {
    const { folder, file, memory } = await written(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    assert.equal(await file.readBack(memory.subarray(0, MIB), 0), true)
    assert.equal(await file.readBack(memory.subarray(MIB), MIB), true)
    await file.seal(0o640)
  })

  test('whatever pieces it was written in', async (t) => {
    const { folder, disk } = await withDisk(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const file = await disk.create('f', DIRECT_BYTES)
    const memory = paged(bytes)
    const ends = [5, 4096, 300_001, MIB, 2 * MIB - 1, 2 * MIB, 3 * MIB, bytes.length]
    for (const [n, end] of ends.entries()) await file.write(memory.subarray(ends[n - 1] ?? 0, end))
    for (let at = 0; at < bytes.length; at += MIB)
      assert.equal(await file.readBack(memory.subarray(at, at + MIB), at), true)
    await file.seal(0o640)
    assert.ok((await readFile(join(folder, 'f'))).equals(bytes))
  })

  test('before its file is closed, as soon as the file system refuses to take more', async (t) => {
    const { folder, disk } = await withDisk(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const file = await disk.create('f', DIRECT_BYTES)
    const memory = paged(bytes)
    await file.write(memory.subarray(0, MIB))
    const asked = file.readBack(memory.subarray(0, MIB), 0)
    // Its memory is malloc's: EINVAL.
    const refused = Uint8Array.from(bytes.subarray(MIB, 2 * MIB))
    await Promise.all([asked, file.write(refused)])
    assert.equal(await asked, true)
    assert.equal(await file.readBack(refused, MIB), false)
    await file.seal(0o640)
    assert.ok((await readFile(join(folder, 'f'))).equals(bytes.subarray(0, 2 * MIB)))
  })

  for (const [name, spoil] of Object.entries({
    'has a bit that was not written': async (path: string) => {
      const other = await open(path, 'r+')
      await other.write(Buffer.from([(bytes[2 * MIB] ?? 0) ^ 1]), 0, 1, 2 * MIB)
      await other.close()
    },
    'ends before what was written': (path: string) => truncate(path, 2 * MIB),
  }))
    test(`and a disk that ${name} is told of, and the file is good for nothing`, async (t) => {
      const { folder, file, memory, path } = await written(t)
      if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
      await spoil(path)
      assert.equal(await file.readBack(memory.subarray(0, MIB), 0), true)
      await assert.rejects(file.readBack(memory.subarray(MIB), MIB), hasCode('DISK_SICK'))
      await assert.rejects(file.seal(0o640), hasCode('DISK_SICK'))
    })

  test('not, and nobody is told otherwise, where it went through the cache', async (t) => {
    const { file, memory } = await written(t, DIRECT_BYTES - 1)
    assert.equal(await file.readBack(memory, 0), false)
    await file.seal(0o640)
  })

  test('block by block while a large download comes, which says so', async (t) => {
    const { folder, disk } = await withDisk(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const large = randomBytes(DIRECT_BYTES + 4321)
    for (const readsBack of [true, false]) {
      const file = await disk.create(`f${readsBack}`, large.length)
      const starts: number[] = []
      const noting = {
        isDirect: file.isDirect,
        write: file.write,
        readBack: (block: Uint8Array, start: number) => {
          starts.push(start)
          return file.readBack(block, start)
        },
      }
      const landing = await openLanding(noting, { plan: null, sizeBytes: large.length, readsBack })
      for (let at = 0; at < large.length; at += 300 * KIB)
        await landing.take(large.subarray(at, at + 300 * KIB))
      const { isReadBack } = await landing.finish()
      assert.equal(isReadBack, readsBack)
      const blocks = Array.from({ length: 65 }, (_, n) => n * MIB)
      assert.deepEqual(starts, readsBack ? blocks : [])
      await file.seal(0o640)
    }
  })
})
