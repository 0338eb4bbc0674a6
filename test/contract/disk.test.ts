import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { copyDurably, type Disk } from '../../src/storage/disk.ts'
import { hasCode, type Scope, withDisk } from '../support/scopes.ts'
import { createSimDisk } from '../support/sim-disk.ts'

const implementations: { name: string; open(t: Scope): Promise<Disk> }[] = [
  { name: 'the real disk', open: withDisk },
  { name: 'the simulated disk', open: async () => createSimDisk() },
]

const text = (found: Buffer | null) => found?.toString() ?? null

async function put(disk: Disk, path: string, content: string): Promise<void> {
  const file = await disk.create(path)
  await file.write(Buffer.from(content))
  await file.seal(0o644)
}

async function readAll(disk: Disk, path: string, signal?: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of disk.chunks(path, signal)) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}

const unsafePaths = ['/a', '../a', 'a/../b', 'a//b', 'a/', './a', 'a/.', '..', 'a\0b', '\ud800']

for (const { name, open } of implementations) {
  describe(name, () => {
    test('a written file reads back whole', async (t) => {
      const disk = await open(t)
      const file = await disk.create('a')
      await file.write(Buffer.from('one '))
      await file.write(new Uint8Array(0))
      await file.write(Buffer.from('two'))
      assert.equal(file.path, 'a')
      assert.equal(file.sizeBytes, 7)
      await file.seal(0o644)
      assert.equal(text(await disk.read('a', 7)), 'one two')
      assert.equal((await readAll(disk, 'a')).toString(), 'one two')
      const facts = await disk.stat('a')
      assert.deepEqual([facts?.kind, facts?.sizeBytes, facts?.links], ['file', 7, 1])
    })

    test('a file can be read back before it is sealed', async (t) => {
      const disk = await open(t)
      const file = await disk.create('a')
      await file.write(Buffer.from('unsealed'))
      await file.close()
      await file.close()
      await disk.syncFile('a')
      assert.equal(text(await disk.read('a', 100)), 'unsealed')
    })

    test('a hash tells content, size and device', async (t) => {
      const disk = await open(t)
      const content = 'x'.repeat(3_000_000)
      await put(disk, 'a', content)
      const facts = await disk.stat('a')
      assert.deepEqual(await disk.hash('a'), {
        sha256: createHash('sha256').update(content).digest('hex'),
        sizeBytes: 3_000_000,
        device: facts?.device,
      })
    })

    test('a cancelled read ends with CANCELLED', async (t) => {
      const disk = await open(t)
      await put(disk, 'a', 'x')
      const signal = AbortSignal.abort()
      await assert.rejects(disk.hash('a', signal), hasCode('CANCELLED'))
      await assert.rejects(readAll(disk, 'a', signal), hasCode('CANCELLED'))
    })

    test('a taken name is refused, whatever has it', async (t) => {
      const disk = await open(t)
      await put(disk, 'file', 'kept')
      await put(disk, 'other', 'x')
      await disk.makeFolder('folder')
      for (const path of ['file', 'folder']) {
        await assert.rejects(disk.create(path), hasCode('NAME_TAKEN'))
        await assert.rejects(disk.link('other', path), hasCode('NAME_TAKEN'))
      }
      await assert.rejects(disk.makeFolder('file'), hasCode('NAME_TAKEN'))
      await assert.rejects(disk.rename('other', 'folder'), hasCode('NAME_TAKEN'))
      assert.equal(text(await disk.read('file', 9)), 'kept')
    })

    test('a folder is made once and made again without complaint', async (t) => {
      const disk = await open(t)
      for (const path of ['', 'a', 'a', 'a/b']) await disk.makeFolder(path)
      await disk.syncFolder('a')
      await disk.syncFolder('')
      await disk.syncFolder('.')
      assert.deepEqual(await disk.list(''), ['a'])
      assert.deepEqual(await disk.list('a'), ['b'])
      for (const path of ['', '.', 'a/b']) assert.equal((await disk.stat(path))?.kind, 'folder')
    })

    test('what is absent is null, empty, fine or FILE_MISSING', async (t) => {
      const disk = await open(t)
      for (const path of ['gone', 'gone/deeper']) {
        assert.equal(await disk.stat(path), null)
        assert.equal(await disk.read(path, 1), null)
        assert.deepEqual(await disk.list(path), [])
        await disk.unlink(path)
        const calls = [
          () => disk.hash(path),
          () => readAll(disk, path),
          () => disk.syncFile(path),
          () => disk.syncFolder(path),
          () => disk.link(path, 'to'),
          () => disk.rename(path, 'to'),
        ]
        for (const call of calls) await assert.rejects(call(), hasCode('FILE_MISSING'))
      }
      await assert.rejects(disk.create('gone/a'), hasCode('FILE_MISSING'))
      await assert.rejects(disk.makeFolder('gone/a'), hasCode('FILE_MISSING'))
    })

    test('a link is a second name of the same file', async (t) => {
      const disk = await open(t)
      await put(disk, 'a', 'one')
      await disk.link('a', 'b')
      const [a, b] = [await disk.stat('a'), await disk.stat('b')]
      assert.deepEqual(a, b)
      assert.equal(a?.links, 2)
      await disk.rename('a', 'b')
      assert.deepEqual((await disk.list('')).sort(), ['a', 'b'], 'as POSIX has it')
      await disk.unlink('a')
      assert.equal(text(await disk.read('b', 9)), 'one')
    })

    test('a rename replaces what has the name', async (t) => {
      const disk = await open(t)
      await put(disk, 'old', 'old')
      await put(disk, 'new', 'new')
      await disk.rename('new', 'old')
      assert.deepEqual(await disk.list(''), ['old'])
      assert.equal(text(await disk.read('old', 9)), 'new')
    })

    test('a file larger than allowed is not read whole', async (t) => {
      const disk = await open(t)
      await put(disk, 'a', 'four')
      assert.equal(text(await disk.read('a', 4)), 'four')
      await assert.rejects(disk.read('a', 3), hasCode('PATH_UNSAFE'))
    })

    test('a file in place of a folder, and the reverse, is refused', async (t) => {
      const disk = await open(t)
      await put(disk, 'file', 'x')
      await disk.makeFolder('folder')
      const calls = [
        () => disk.stat('file/a'),
        () => disk.create('file/a'),
        () => disk.list('file'),
        () => disk.syncFolder('file'),
        () => disk.read('folder', 9),
        () => disk.hash('folder'),
        () => disk.link('folder', 'b'),
        () => disk.unlink('folder'),
      ]
      for (const call of calls) await assert.rejects(call(), hasCode('PATH_UNSAFE'))
    })

    test('no path leads out of the root', async (t) => {
      const disk = await open(t)
      await put(disk, 'a', 'x')
      for (const path of unsafePaths) {
        const calls = [
          () => disk.create(path),
          () => disk.stat(path),
          () => disk.read(path, 9),
          () => disk.hash(path),
          () => readAll(disk, path),
          () => disk.makeFolder(path),
          () => disk.link(path, 'b'),
          () => disk.link('a', path),
          () => disk.rename('a', path),
          () => disk.unlink(path),
          () => disk.syncFile(path),
          () => disk.syncFolder(path),
          () => disk.list(path),
        ]
        for (const call of calls) await assert.rejects(call(), hasCode('PATH_UNSAFE'))
      }
      assert.deepEqual(await disk.list(''), ['a'])
    })

    test('any single name is either refused or stored as exactly that name', async (t) => {
      const disk = await open(t)
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (path) => {
          const file = await disk.create(path).catch(hasCode('PATH_UNSAFE'))
          if (file === true) return
          if (typeof file === 'boolean') assert.fail()
          await file.close()
          assert.deepEqual(await disk.list(''), [path])
          await disk.unlink(path)
        }),
        { numRuns: 200 },
      )
      assert.deepEqual(await disk.list(''), [])
    })

    test('free space is a number of bytes', async (t) => {
      const disk = await open(t)
      const { freeBytes, totalBytes } = await disk.room()
      assert.ok(freeBytes > 0)
      assert.ok(totalBytes >= freeBytes)
    })

    test('a durable copy leaves the file and nothing else', async (t) => {
      const [from, to] = [await open(t), await open(t)]
      await from.makeFolder('in')
      await put(from, 'in/a', 'x'.repeat(2_500_000))
      await to.makeFolder('errors')
      await copyDurably({ disk: from, path: 'in/a' }, { disk: to, path: 'errors/a' }, 0o640)
      assert.deepEqual(await to.list('errors'), ['a'])
      assert.equal((await to.hash('errors/a')).sha256, (await from.hash('in/a')).sha256)
      assert.equal((await to.stat('errors/a'))?.links, 1)
    })

    test('a durable copy never replaces what is there', async (t) => {
      const disk = await open(t)
      await put(disk, 'a', 'new')
      await put(disk, 'b', 'kept')
      await assert.rejects(
        copyDurably({ disk, path: 'a' }, { disk, path: 'b' }, 0o640),
        hasCode('NAME_TAKEN'),
      )
      assert.equal(text(await disk.read('b', 9)), 'kept')
      assert.deepEqual((await disk.list('')).sort(), ['a', 'b'])
    })

    test('a durable copy of nothing leaves nothing', async (t) => {
      const disk = await open(t)
      await assert.rejects(
        copyDurably({ disk, path: 'gone' }, { disk, path: 'b' }, 0o640),
        hasCode('FILE_MISSING'),
      )
      assert.deepEqual(await disk.list(''), [])
    })
  })
}
