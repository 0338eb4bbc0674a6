/** Large files go to the disk and come from it past the page cache, where the file system lets them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import fc from 'fast-check'
import { newSharedPages } from '../../src/pages.js'
import { DIRECT_BYTES, openDirect } from '../../src/storage/direct.ts'
import { openDisk } from '../../src/storage/disk.ts'
import { openLanding } from '../../src/sync/landing.ts'
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

/** Some file systems know no other way than through the cache. */
async function knowsDirect(folder: string): Promise<boolean> {
  const file = await open(join(folder, 'try'), 'w')
  const direct = await openDirect(file.fd, 'write')
  await file.close()
  if (direct !== null) closeSync(direct)
  return direct !== null
}

describe('past the page cache', () => {
  let bytes: Buffer
  before(() => {
    bytes = randomBytes(DIRECT_BYTES + 5 * MIB + 4321)
  })

  test('a large download is written, and read again, without a trace of it in memory', async (t) => {
    const { folder, disk } = await withDisk(t)
    if (!(await knowsDirect(folder))) return t.skip('the file system has no way past the cache')
    const file = await disk.create('large')
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
  const file = await disk.create('f')
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
      const file = await disk.create(path)
      let at = 0
      for (const length of pieces) {
        await file.write(memory.subarray(at, at + length), 'cache')
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
  const file = await disk.create('f')
  // Its memory is malloc's, and begins anywhere: EINVAL.
  const unaligned = new Uint8Array(new ArrayBuffer(MIB))
  unaligned.set(random.subarray(0, MIB))
  await file.write(unaligned, 'cache')
  await file.write(paged(random.subarray(MIB, 2 * MIB)), 'cache')
  await file.seal(0o640)
  assert.ok((await readFile(join(folder, 'f'))).equals(random.subarray(0, 2 * MIB)))
})
