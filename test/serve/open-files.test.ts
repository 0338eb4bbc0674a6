import assert from 'node:assert/strict'
import { rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { AppError, isAppError } from '../../src/errors.ts'
import { createLocator, type Locator } from '../../src/serve/locate.ts'
import { createOpenFiles, type OpenFiles } from '../../src/serve/open-files.ts'
import { renderSidecar } from '../../src/sidecar.ts'
import {
  captureLog,
  openFilesIn,
  type ServerScope,
  sidecarOf,
  withFileServer,
} from '../support/file-server.ts'

/** The age from which on a file is looked at again; README "Files and links" promises it. */
const boundMs = 5_000
const idleMs = 10_000

/** A server whose files grow old only when the test says so. */
async function withOldFiles(
  use: (scope: ServerScope & { grow: (ms: number) => void }) => Promise<void>,
): Promise<void> {
  let now = 0
  const grow = (ms: number) => {
    now += ms
  }
  await withFileServer({ clock: () => now }, (scope) => use({ ...scope, grow }))
}

async function fileOver(scope: ServerScope, name: string, contents: string): Promise<void> {
  const aside = join(scope.archiveDir, 'aside')
  await writeFile(aside, contents)
  await rename(aside, join(scope.archiveDir, name))
}

test('a file that is replaced is served no longer than five seconds', async () => {
  await withOldFiles(async (scope) => {
    await scope.file('f.mp4', 'first')
    const target = `/f.mp4?token=${await scope.token()}`
    const body = async () => (await scope.ask(target)).body.toString()
    assert.equal(await body(), 'first')
    await fileOver(scope, 'f.mp4', 'other')
    scope.grow(boundMs - 1)
    assert.equal(await body(), 'first')
    scope.grow(1)
    assert.equal(await body(), 'other')
  })
})

test('a small file that is written to in place is read again within five seconds', async () => {
  await withOldFiles(async (scope) => {
    await scope.file('f.mp4', 'first')
    const target = `/f.mp4?token=${await scope.token()}`
    await scope.ask(target)
    await writeFile(join(scope.archiveDir, 'f.mp4'), 'other')
    scope.grow(boundMs)
    assert.equal((await scope.ask(target)).body.toString(), 'other')
  })
})

for (const name of ['f.mp4', 'f.mp4.json']) {
  test(`when ${name} is gone, the file is served no longer than five seconds`, async () => {
    await withOldFiles(async (scope) => {
      await scope.file('f.mp4', 'bytes')
      const target = `/f.mp4?token=${await scope.token()}`
      assert.equal((await scope.ask(target)).status, 200)
      await rm(join(scope.archiveDir, name))
      scope.grow(boundMs)
      assert.equal((await scope.ask(target)).status, 404)
      assert.deepEqual(await scope.leaks(), [])
    })
  })
}

test('a file that is given to another media id opens to the old one no longer than five seconds', async () => {
  await withOldFiles(async (scope) => {
    await scope.file('f.mp4', 'bytes', { media_id: 1 })
    const [first, second] = [await scope.token(1), await scope.token(2)]
    const statuses = async () => [
      (await scope.ask(`/f.mp4?token=${first}`)).status,
      (await scope.ask(`/f.mp4?token=${second}`)).status,
    ]
    assert.deepEqual(await statuses(), [200, 403])
    const sidecar = sidecarOf({ archive_path: 'f.mp4', bytes: 5, media_id: 2 })
    await fileOver(scope, 'f.mp4.json', renderSidecar(sidecar))
    scope.grow(boundMs)
    assert.deepEqual(await statuses(), [403, 200])
  })
})

test('an archive that is taken away is an outage within five seconds, and served again when it is back', async () => {
  await withOldFiles(async (scope) => {
    await scope.file('f.mp4', 'bytes')
    const target = `/f.mp4?token=${await scope.token()}`
    assert.equal((await scope.ask(target)).status, 200)
    await rename(scope.archiveDir, `${scope.archiveDir}-away`)
    scope.grow(boundMs)
    assert.equal((await scope.ask(target)).status, 503)
    await rename(`${scope.archiveDir}-away`, scope.archiveDir)
    assert.equal((await scope.ask(target)).status, 200)
  })
})

test('a folder that becomes a link leads nowhere within five seconds', async () => {
  await withOldFiles(async (scope) => {
    const { archiveDir } = scope
    await scope.file('a/f.mp4', 'bytes')
    await scope.file('b/a/f.mp4', 'other', { archive_path: 'a/f.mp4' })
    const target = `/a/f.mp4?token=${await scope.token()}`
    assert.equal((await scope.ask(target)).status, 200)
    await rename(join(archiveDir, 'a'), join(archiveDir, 'c'))
    await symlink('b/a', join(archiveDir, 'a'))
    scope.grow(boundMs)
    assert.equal((await scope.ask(target)).status, 404)
  })
})

interface Rig {
  openFiles: OpenFiles
  locator: Pick<Locator, 'locate' | 'stampOf'>
  calls: string[]
  grow(ms: number): void
}

/** The files f0.mp4, f1.mp4 … of media id 1, and a count of what is asked of the disk. */
async function withRig(
  limits: { maxFiles?: number; maxBytes?: number },
  use: (rig: Rig & ServerScope) => Promise<void>,
): Promise<void> {
  await withFileServer({}, async (scope) => {
    for (let index = 0; index < 10; index++) await scope.file(`f${index}.mp4`, 'bytes')
    let now = 0
    const calls: string[] = []
    const real = createLocator({ archiveDir: scope.archiveDir, onInvalidSidecar: () => {} })
    const locator: Pick<Locator, 'locate' | 'stampOf'> = {
      locate: (path, mediaId) => {
        calls.push(`locate ${path}`)
        return real.locate(path, mediaId)
      },
      stampOf: (path) => {
        calls.push(`look ${path}`)
        return real.stampOf(path)
      },
    }
    const openFiles = createOpenFiles({ locator, log: captureLog(), ...limits, clock: () => now })
    try {
      await use({
        ...scope,
        openFiles,
        locator,
        calls,
        grow: (ms) => {
          now += ms
        },
      })
    } finally {
      await openFiles.close()
    }
  })
}

test('many who ask for one file at once cause one opening, and later one look', async () => {
  await withRig({}, async ({ openFiles, calls, grow }) => {
    const all = () =>
      Promise.all(Array.from({ length: 50 }, async () => openFiles.acquire('f0.mp4', 1)))
    for (const file of await all()) file.release()
    grow(boundMs)
    for (const file of await all()) file.release()
    assert.deepEqual(calls, ['locate f0.mp4', 'look f0.mp4'])
  })
})

test('no more files are kept open than is allowed, but one in use is never closed', async () => {
  await withRig({ maxFiles: 3 }, async ({ openFiles, archiveDir, leaks }) => {
    await leaks()
    const used = await openFiles.acquire('f0.mp4', 1)
    for (let index = 1; index < 10; index++) {
      const file = await openFiles.acquire(`f${index}.mp4`, 1)
      file.release()
    }
    await openFiles.sweep()
    assert.equal((await openFilesIn(archiveDir)).length, 3)
    await used.file.stat()
    used.release()
  })
})

test('a file that nobody asks for is closed after ten seconds, so that its disk can be unmounted', async () => {
  await withRig({}, async ({ openFiles, archiveDir, grow }) => {
    const idle = await openFiles.acquire('f0.mp4', 1)
    idle.release()
    const used = await openFiles.acquire('f1.mp4', 1)
    grow(idleMs + 1)
    await openFiles.sweep()
    assert.deepEqual(await openFilesIn(archiveDir), [join(archiveDir, 'f1.mp4')])
    used.release()
  })
})

test('the contents of small files take no more memory than is allowed', async () => {
  await withRig({ maxBytes: 12 }, async ({ openFiles }) => {
    let kept = 0
    for (let index = 0; index < 10; index++) {
      const file = await openFiles.acquire(`f${index}.mp4`, 1)
      file.keep(Buffer.from('bytes'))
      if (file.bytes !== null) kept += 1
      file.release()
    }
    assert.equal(kept, 2)
  })
})

test('a disk that fails at the second look is told, and the file is not kept', async () => {
  await withRig({}, async ({ openFiles, locator, calls, grow }) => {
    const file = await openFiles.acquire('f0.mp4', 1)
    file.release()
    const { stampOf } = locator
    locator.stampOf = async () => {
      throw new AppError('DISK_SICK', 'the disk failed')
    }
    grow(boundMs)
    await assert.rejects(
      async () => openFiles.acquire('f0.mp4', 1),
      (error) => isAppError(error, 'DISK_SICK'),
    )
    locator.stampOf = stampOf
    const again = await openFiles.acquire('f0.mp4', 1)
    again.release()
    assert.deepEqual(calls, ['locate f0.mp4', 'locate f0.mp4'])
  })
})

test('a look that took longer than the bound is not believed by who came after it began', async () => {
  await withRig({}, async ({ openFiles, locator, calls, grow }) => {
    const file = await openFiles.acquire('f0.mp4', 1)
    file.release()
    const { stampOf } = locator
    const { promise: stuck, resolve: loosen } = Promise.withResolvers<void>()
    locator.stampOf = async (path) => {
      const stamp = await stampOf(path)
      await stuck
      return stamp
    }
    grow(boundMs)
    const early = openFiles.acquire('f0.mp4', 1)
    grow(boundMs)
    const late = openFiles.acquire('f0.mp4', 1)
    loosen()
    for (const taken of [await early, await late]) taken.release()
    assert.deepEqual(calls, ['locate f0.mp4', 'look f0.mp4', 'look f0.mp4'])
  })
})

test('when the process may open no more files, those that nobody uses are closed first', async () => {
  await withRig({}, async ({ openFiles, locator, archiveDir }) => {
    const file = await openFiles.acquire('f0.mp4', 1)
    file.release()
    await eventLoopTurn()
    const { locate } = locator
    locator.locate = async () => {
      locator.locate = locate
      const cause = Object.assign(new Error('too many open files'), { code: 'EMFILE' })
      throw new AppError('ARCHIVE_UNREADABLE', 'the archive could not be read', { cause })
    }
    const other = await openFiles.acquire('f1.mp4', 1)
    assert.deepEqual(await openFilesIn(archiveDir), [join(archiveDir, 'f1.mp4')])
    other.release()
  })
})

test('a file whose sidecar is replaced while it is opened leaves no descriptor open', async () => {
  await withFileServer({}, async (scope) => {
    await scope.file('f.mp4', 'bytes')
    const locate = (mediaId: number): ReturnType<Locator['locate']> =>
      createLocator({ archiveDir: scope.archiveDir, onInvalidSidecar: () => {} })
        .locate('f.mp4', 1)
        .then((found) => ({ ...found, sidecar: { ...found.sidecar, media_id: mediaId } }))
    const locator = { locate: (_path: string, id: number) => locate(id), stampOf: async () => null }
    const files = createOpenFiles({ locator, log: captureLog() })
    const both = await Promise.all([files.acquire('f.mp4', 1), files.acquire('f.mp4', 2)])
    for (const file of both) file.release()
    await files.close()
    assert.deepEqual(await scope.leaks(), [])
  })
})
