import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ErrorCode } from '../../src/errors.ts'
import {
  copyDurably,
  type Disk,
  fileSystemKind,
  openDisk,
  parentOf,
  segmentsOf,
} from '../../src/storage/disk.ts'
import { type DiskStep, diskError } from '../../src/storage/disk-errors.ts'
import { writeAll } from '../../src/storage/file-io.ts'
import {
  hasCode,
  mountsRefused,
  openDescriptors,
  withDisk,
  withFolder,
  withVolume,
} from '../support/scopes.ts'
import { createSimDisk } from '../support/sim-disk.ts'

const MIB = 1024 * 1024
const noMounts = mountsRefused()

async function put(disk: Disk, path: string, content: Uint8Array | string): Promise<void> {
  const file = await disk.create(path)
  try {
    await file.write(Buffer.from(content))
    await file.seal(0o640)
  } finally {
    await file.close()
  }
}

async function readThrough(disk: Disk, path: string): Promise<void> {
  for await (const _ of disk.chunks(path));
}

/** Every call that takes a path, so that none is forgotten. */
function everyCall(disk: Disk, path: string): [string, () => Promise<unknown>][] {
  const { create, read, hash, makeFolder, unlink, syncFile, syncFolder, list } = disk
  const single = { create, hash, makeFolder, unlink, syncFile, syncFolder, list }
  return [
    ...Object.entries(single).map(([name, call]): [string, () => Promise<unknown>] => [
      name,
      () => call(path),
    ]),
    ['stat', () => disk.stat(path)],
    ['read', () => read(path, 99)],
    ['chunks', () => readThrough(disk, path)],
    ['link from', () => disk.link(path, 'new')],
    ['link to', () => disk.link('file', path)],
    ['rename from', () => disk.rename(path, 'new')],
    ['rename to', () => disk.rename('file', path)],
  ]
}

test('no call goes through a symbolic link in place of a folder', async (t) => {
  const [root, outside] = [await withFolder(t), await withFolder(t)]
  const disk = await openDisk(root)
  await put(disk, 'file', 'x')
  await writeFile(join(outside, 'secret'), 'secret')
  await mkdir(join(outside, 'folder'))
  await symlink(outside, join(root, 'way'))
  await symlink('.', join(root, 'self'))
  for (const path of ['way/secret', 'way/new', 'way/folder/new', 'self/file', 'self/way/secret']) {
    for (const [name, call] of everyCall(disk, path)) {
      await assert.rejects(call(), hasCode('PATH_UNSAFE'), `${name} ${path}`)
    }
  }
  assert.deepEqual((await readdir(outside)).sort(), ['folder', 'secret'])
  assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'secret')
})

test('no call opens a symbolic link in place of a file or folder', async (t) => {
  const [root, outside] = [await withFolder(t), await withFolder(t)]
  const disk = await openDisk(root)
  await put(disk, 'file', 'x')
  await writeFile(join(outside, 'secret'), 'secret')
  await symlink(join(outside, 'secret'), join(root, 'link'))
  await symlink(outside, join(root, 'way'))
  await symlink(join(outside, 'gone'), join(root, 'dangling'))
  const opening = ['hash', 'read', 'chunks', 'syncFile', 'link from']
  for (const path of ['link', 'way', 'dangling']) {
    const calls = everyCall(disk, path)
    for (const [name, call] of calls.filter(([name]) => opening.includes(name))) {
      await assert.rejects(call(), hasCode('PATH_UNSAFE'), `${name} ${path}`)
    }
    await assert.rejects(disk.create(path), hasCode('NAME_TAKEN'))
    await assert.rejects(disk.makeFolder(path), hasCode('NAME_TAKEN'))
    await assert.rejects(disk.link('file', path), hasCode('NAME_TAKEN'))
    await assert.rejects(disk.syncFolder(path), hasCode('PATH_UNSAFE'))
    assert.equal((await disk.stat(path))?.kind, 'other')
  }
  assert.deepEqual(await readdir(outside), ['secret'])
})

test('removing or replacing a symbolic link touches only the link', async (t) => {
  const [root, outside] = [await withFolder(t), await withFolder(t)]
  const disk = await openDisk(root)
  await writeFile(join(outside, 'secret'), 'secret')
  for (const name of ['a', 'b']) await symlink(join(outside, 'secret'), join(root, name))
  await put(disk, 'file', 'mine')
  await disk.unlink('a')
  await disk.rename('file', 'b')
  assert.deepEqual(await disk.list(''), ['b'])
  assert.equal((await disk.stat('b'))?.kind, 'file')
  assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'secret')
})

test('the root itself may be a symbolic link', async (t) => {
  const [real, other] = [await withFolder(t), await withFolder(t)]
  await symlink(real, join(other, 'archive'))
  const disk = await openDisk(join(other, 'archive'))
  await put(disk, 'a', 'x')
  await disk.syncFolder('')
  assert.equal((await disk.stat(''))?.kind, 'folder')
  assert.deepEqual(await disk.list(''), ['a'])
  await disk.makeFolder('b')
  await put(disk, 'b/c', 'x')
  await symlink('b', join(real, 'way'))
  await assert.rejects(disk.stat('way/c'), hasCode('PATH_UNSAFE'))
  await assert.rejects(disk.stat('a/c'), hasCode('PATH_UNSAFE'), 'a file is no folder')
})

test('a root that leads elsewhere now is followed there, and no link below it', async (t) => {
  const [first, second, other] = [await withFolder(t), await withFolder(t), await withFolder(t)]
  await symlink(first, join(other, 'archive'))
  const disk = await openDisk(join(other, 'archive'))
  await mkdir(join(second, 'b'))
  await writeFile(join(second, 'b/c'), 'xy')
  await symlink(second, join(other, 'next'))
  await rename(join(other, 'next'), join(other, 'archive'))
  assert.equal((await disk.stat('b/c'))?.sizeBytes, 2)
  await symlink(join(second, 'b'), join(second, 'way'))
  await assert.rejects(disk.stat('way/c'), hasCode('PATH_UNSAFE'))
})

test('a root that is absent or no folder is refused by name', async (t) => {
  const folder = await withFolder(t)
  await writeFile(join(folder, 'file'), '')
  await assert.rejects(openDisk(join(folder, 'gone')), hasCode('FILE_MISSING', /gone/))
  await assert.rejects(openDisk(join(folder, 'file')), hasCode('PATH_UNSAFE', /file/))
})

test('a named pipe is refused at once and not waited for', async (t) => {
  const disk = await withDisk(t)
  execFileSync('mkfifo', [join(disk.root, 'pipe')])
  await assert.rejects(disk.hash('pipe'), hasCode('PATH_UNSAFE', /not a regular file/))
  await assert.rejects(disk.read('pipe', 9), hasCode('PATH_UNSAFE'))
})

test('a file is private until it is sealed with its mode', async (t) => {
  const disk = await withDisk(t)
  const file = await disk.create('a')
  const modeOf = async () => (await stat(join(disk.root, 'a'))).mode & 0o777
  assert.equal(await modeOf(), 0o600)
  await file.seal(0o644)
  assert.equal(await modeOf(), 0o644)
})

test('a file that is closed is not written to, whoever has its number now', async (t) => {
  const disk = await withDisk(t)
  const file = await disk.create('a')
  const writing = file.write(Buffer.alloc(MIB, 'x'))
  await file.close()
  await writing
  assert.equal((await disk.stat('a'))?.sizeBytes, MIB)
  await assert.rejects(file.write(Buffer.from('y')), hasCode('INTERNAL', /closed/))
  await assert.rejects(file.seal(0o640), hasCode('INTERNAL', /closed/))
})

test('a small file is read to its end, wherever that is by then', async () => {
  // What lies there has no size before it is read.
  const disk = await openDisk('/proc/self')
  const limits = await disk.read('limits', 4 * MIB)
  assert.match(limits?.toString() ?? '', /^Limit.*\n(?:Max .*\n)+$/)
  await assert.rejects(disk.read('limits', 100), hasCode('PATH_UNSAFE', /larger than 100 bytes/))
})

test('files that are read, hashed, synced or refused are closed', async (t) => {
  const disk = await withDisk(t)
  await put(disk, 'small', 'x')
  await put(disk, 'large', Buffer.alloc(3 * MIB))
  await disk.makeFolder('folder')
  const all = ['small', 'large', 'folder'].flatMap((path) => everyCall(disk, path))
  const tryAll = async () => {
    for (const [name, call] of all) if (!/^unlink|^rename/.test(name)) await call().catch(() => {})
  }
  // The threads that it takes have descriptors, too.
  await tryAll()
  const before = await openDescriptors()
  await tryAll()
  assert.equal(await openDescriptors(), before)
})

test('reading takes one buffer of a mebibyte, however large the file is', async (t) => {
  const disk = await withDisk(t)
  await put(disk, 'a', Buffer.alloc(5 * MIB + 1))
  const buffers = new Set<ArrayBufferLike>()
  let sizeBytes = 0
  for await (const chunk of disk.chunks('a')) {
    buffers.add(chunk.buffer)
    sizeBytes += chunk.byteLength
  }
  assert.equal(sizeBytes, 5 * MIB + 1)
  assert.deepEqual(
    [...buffers].map((buffer) => buffer.byteLength),
    [MIB],
  )
})

test('a read that is cancelled midway stops there', async (t) => {
  const disk = await withDisk(t)
  await put(disk, 'a', Buffer.alloc(3 * MIB))
  const cancel = new AbortController()
  let chunks = 0
  const reading = async () => {
    for await (const _ of disk.chunks('a', cancel.signal)) {
      chunks += 1
      cancel.abort()
    }
  }
  await assert.rejects(reading(), hasCode('CANCELLED'))
  assert.equal(chunks, 1)
})

test('short writes lose and repeat nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
      async (chunk, sizes) => {
        const written: number[] = []
        const write = async (from: Uint8Array, offset: number, length: number) => {
          const bytesWritten = Math.min(length, sizes.next().value)
          written.push(...from.subarray(offset, offset + bytesWritten))
          return { bytesWritten, buffer: from }
        }
        await writeAll({ write } as Parameters<typeof writeAll>[0], chunk, '/a')
        assert.deepEqual(written, [...chunk])
      },
    ),
  )
})

test('a write of nothing is a full disk', async () => {
  const write = async (buffer: Uint8Array) => ({ bytesWritten: 0, buffer })
  const handle = { write } as Parameters<typeof writeAll>[0]
  await assert.rejects(writeAll(handle, Buffer.from('x'), '/a'), hasCode('DISK_FULL', /\/a/))
})

test('a full disk is DISK_FULL, and usable again once there is room', {
  skip: noMounts,
}, async (t) => {
  const { folder } = await withVolume(t, MIB)
  const disk = await openDisk(folder)
  const before = await openDescriptors()
  const file = await disk.create('large')
  await file.write(Buffer.alloc(MIB - 100_000))
  await assert.rejects(file.write(Buffer.alloc(200_000)), hasCode('DISK_FULL', /large/))
  await assert.rejects(file.write(Buffer.alloc(1)), hasCode('DISK_FULL'), 'its contents are lost')
  await assert.rejects(file.seal(0o640), hasCode('DISK_FULL'))
  assert.equal(await openDescriptors(), before)
  assert.equal((await disk.room()).freeBytes, 0)
  await disk.unlink('large')
  await put(disk, 'small', Buffer.alloc(MIB / 2))
  assert.equal((await disk.room()).freeBytes, MIB / 2)
})

test('a copy that finds the disk full leaves nothing', { skip: noMounts }, async (t) => {
  const [from, { folder }] = [await withDisk(t), await withVolume(t, MIB)]
  const to = await openDisk(folder)
  await put(from, 'a', Buffer.alloc(2 * MIB))
  const before = await openDescriptors()
  const copying = copyDurably({ disk: from, path: 'a' }, { disk: to, path: 'a' }, 0o640)
  await assert.rejects(copying, hasCode('DISK_FULL'))
  assert.deepEqual(await to.list(''), [])
  assert.equal(await openDescriptors(), before)
})

test('a copy crosses file systems, which a link cannot', { skip: noMounts }, async (t) => {
  const outer = await withDisk(t)
  const { folder } = await withVolume(t, MIB)
  const inner = await openDisk(folder)
  await put(outer, 'a', 'content')
  await copyDurably({ disk: outer, path: 'a' }, { disk: inner, path: 'b' }, 0o604)
  assert.equal((await inner.read('b', 9))?.toString(), 'content')
  assert.equal((await stat(join(folder, 'b'))).mode & 0o777, 0o604)
  const around = await openDisk(parentOf(folder))
  const [from, to] = [outer.root, folder].map((path) => path.slice(around.root.length + 1))
  await assert.rejects(around.link(`${from}/a`, `${to}/c`), hasCode('LINK_REFUSED'))
  await assert.rejects(around.rename(`${from}/a`, `${to}/c`), hasCode('DISK_DENIED', /different/))
})

test('a read-only file system is DISK_DENIED', { skip: noMounts }, async (t) => {
  const { folder, makeReadOnly } = await withVolume(t, MIB)
  const disk = await openDisk(folder)
  await put(disk, 'a', 'x')
  await makeReadOnly()
  const calls = [() => disk.create('b'), () => disk.makeFolder('b'), () => disk.unlink('a')]
  for (const call of calls) await assert.rejects(call(), hasCode('DISK_DENIED', /read-only/))
  assert.equal((await disk.hash('a')).sizeBytes, 1)
})

test('missing rights are DISK_DENIED, and the message names the path', async (t) => {
  const disk = await withDisk(t)
  await put(disk, 'a', 'x')
  await chmod(join(disk.root, 'a'), 0o600)
  await chmod(disk.root, 0o555)
  // Rights bind root only while it acts as somebody else; anybody else is kept out by the second chmod alone.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    await assert.rejects(disk.create('b'), hasCode('DISK_DENIED', /\/b: permission/))
    if (isRoot) await assert.rejects(disk.hash('a'), hasCode('DISK_DENIED', /\/a: permission/))
  } finally {
    if (isRoot) process.seteuid?.(0)
    await chmod(disk.root, 0o755)
  }
})

test('memory is told from a disk', { skip: noMounts }, async (t) => {
  const { folder } = await withVolume(t, MIB)
  assert.equal(await fileSystemKind(folder), 'memory')
  assert.equal(await fileSystemKind('/proc'), 'disk')
  await assert.rejects(fileSystemKind(join(folder, 'gone')), hasCode('FILE_MISSING'))
})

const numbers: Record<string, number> = { ...constants.errno, EUCLEAN: 117 }
const meanings: [string, DiskStep, ErrorCode][] = [
  ['ENOSPC', 'write', 'DISK_FULL'],
  ['EDQUOT', 'write', 'DISK_FULL'],
  ['ENOSPC', 'sync', 'DISK_FULL'],
  ['EDQUOT', 'close', 'DISK_FULL'],
  ['EIO', 'read', 'DISK_SICK'],
  ['EUCLEAN', 'look at', 'DISK_SICK'],
  ['ESTALE', 'read', 'DISK_SICK'],
  ['EIO', 'sync', 'DISK_SICK'],
  ['EINVAL', 'sync', 'DISK_SICK'],
  ['EIO', 'close', 'DISK_SICK'],
  ['EACCES', 'read', 'DISK_DENIED'],
  ['EPERM', 'create', 'DISK_DENIED'],
  ['EROFS', 'create', 'DISK_DENIED'],
  ['EMFILE', 'read', 'DISK_DENIED'],
  ['EEXIST', 'link', 'NAME_TAKEN'],
  ['ENOENT', 'link', 'FILE_MISSING'],
  ['ELOOP', 'read', 'PATH_UNSAFE'],
  ['ENOTDIR', 'read', 'PATH_UNSAFE'],
  ['EISDIR', 'move', 'NAME_TAKEN'],
  ['EPERM', 'link', 'LINK_REFUSED'],
  ['ENOTSUP', 'link', 'LINK_REFUSED'],
  ['EOPNOTSUPP', 'link', 'LINK_REFUSED'],
  ['ENOSYS', 'link', 'LINK_REFUSED'],
  ['EXDEV', 'link', 'LINK_REFUSED'],
  ['EMLINK', 'link', 'LINK_REFUSED'],
  ['EBADF', 'sync', 'INTERNAL'],
]
for (const [native, step, code] of meanings) {
  test(`${native} on ${step} is ${code}`, () => {
    const error = Object.assign(new Error('refused'), {
      code: native,
      errno: -(numbers[native] ?? 0),
    })
    const told = diskError(error, step, '/archive/a')
    assert.equal(told.code, code)
    assert.match(told.message, /\/archive\/a/)
    assert.equal(told.cause, error)
  })
}

test('a quota is known by its number, because Node has no name for it', () => {
  const error = Object.assign(new Error('Unknown system error -122'), {
    code: 'Unknown system error -122',
    errno: -122,
  })
  assert.equal(diskError(error, 'write', '/a').code, 'DISK_FULL')
})

test('what is no system error is a bug and stays one', () => {
  for (const thrown of [new TypeError('x'), 'text', null]) {
    assert.equal(diskError(thrown, 'sync', '/a').code, 'INTERNAL')
  }
})

test('whatever path is accepted stays below the root', () => {
  const segment = fc.oneof(fc.constantFrom('.', '..', '', 'a', '\0', '~', '\\'), fc.string())
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1 }), (segments) => {
      const path = segments.join('/')
      const accepted = (() => {
        try {
          return segmentsOf(path)
        } catch (error) {
          return hasCode('PATH_UNSAFE')(error) && null
        }
      })()
      if (!accepted || accepted.length === 0) return
      assert.equal(accepted.join('/'), path)
      assert.equal(join('/root', path), `/root/${path}`)
      assert.equal(join('/root', parentOf(path)), join('/root', path, '..'))
    }),
    { numRuns: 2000 },
  )
})

for (const linksRefused of [false, true]) {
  const means = linksRefused ? 'a reserved name and a rename' : 'a link'
  test(`a copy by ${means} survives a power cut at any point`, async () => {
    const content = Buffer.from('the whole content')
    for (let cutAt = 1, finished = false; !finished; cutAt += 1) {
      const from = createSimDisk()
      await put(from, 'a', content)
      const to = createSimDisk()
      to.linksRefused = linksRefused
      const begun = to.ops
      to.onOp = () => {
        if (to.ops - begun >= cutAt) throw new Error('power cut')
      }
      finished = await copyDurably({ disk: from, path: 'a' }, { disk: to, path: 'b' }, 0o640).then(
        () => true,
        () => false,
      )
      for (const left of to.crashStates()) {
        const found = left.tree().get('b')?.content
        const fine = finished ? [content] : [content, undefined]
        if (linksRefused && !finished) fine.push(Buffer.alloc(0))
        assert.ok(
          fine.some((one) => (one ? found && one.equals(found) : found === undefined)),
          `cut at operation ${cutAt}: ${found}`,
        )
      }
    }
  })
}

test('a copy whose sync fails is no copy', async () => {
  for (const step of ['seal', 'syncFolder'] as const) {
    const disk = createSimDisk()
    await put(disk, 'a', 'x')
    disk.failNext(step, 'DISK_SICK')
    const copying = copyDurably({ disk, path: 'a' }, { disk, path: 'b' }, 0o640)
    await assert.rejects(copying, hasCode('DISK_SICK'))
    assert.deepEqual(
      (await disk.list('')).filter((name) => name.startsWith('.')),
      [],
    )
  }
})

test('a reserved name is given back when the rename fails', async () => {
  const disk = createSimDisk()
  disk.linksRefused = true
  await put(disk, 'a', 'x')
  disk.failNext('rename', 'DISK_SICK')
  const copying = copyDurably({ disk, path: 'a' }, { disk, path: 'b' }, 0o640)
  await assert.rejects(copying, hasCode('DISK_SICK'))
  assert.deepEqual(await disk.list(''), ['a'])
})
