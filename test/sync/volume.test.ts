import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { type Archives, openArchives } from '../../src/db/archives.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { AppError, type ErrorCode, isAppError } from '../../src/errors.ts'
import { type Disk, fileSystemKind, openDisk } from '../../src/storage/disk.ts'
import { createDurableFolders } from '../../src/storage/folders.ts'
import {
  acceptVolume,
  initVolume,
  initVolumeAlone,
  openVolume,
  type VolumeParts,
} from '../../src/sync/volume.ts'
import { afterwards } from '../support/afterwards.ts'
import { withDatabase } from '../support/postgres.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

interface Rig {
  folder: string
  archives: Archives
  marker: string
  parts(options?: Partial<VolumeParts>): Promise<VolumeParts>
}

/** An empty folder and a database that knows no archive. */
async function withRig(t: TestContext): Promise<Rig> {
  const { config } = await withDatabase(t)
  const database = openDatabase(config)
  afterwards(t, () => database.close())
  await migrate(database)
  const folder = await withFolder(t)
  const archives = openArchives(database)
  return {
    folder,
    archives,
    marker: join(folder, MARKER_PATH),
    async parts(options = {}) {
      const disk = options.disk ?? (await openDisk(folder))
      return { disk, folders: createDurableFolders(disk), archives, fileSystem: 'disk', ...options }
    },
  }
}

/** The error names what is expected and what to do about it. */
function guides(code: ErrorCode, ...about: RegExp[]) {
  return (error: unknown): boolean => {
    assert.ok(isAppError(error, code), String(error))
    const text = `${error.message}\n${error.hint}`
    for (const pattern of about) assert.match(text, pattern)
    return true
  }
}

test('the first start makes an archive, later starts know it', async (t) => {
  const { archives, marker, ...rig } = await withRig(t)
  const volume = await openVolume(await rig.parts())
  const written = JSON.parse(await readFile(marker, 'utf8')) as { id: string }
  assert.equal(written.id, volume.id)
  assert.deepEqual(
    { id: (await archives.find())?.id, done: (await archives.find())?.initialised },
    { id: volume.id, done: true },
  )
  assert.equal((await openVolume(await rig.parts())).id, volume.id)
  assert.deepEqual((await readdir(join(rig.folder, '.strongroom'))).sort(), [
    'archive.json',
    'quarantine',
    'tmp',
    'withdrawn',
  ])
})

test('files of an older service in the folder are no obstacle and are left alone', async (t) => {
  const rig = await withRig(t)
  await writeFile(join(rig.folder, 'old.mp4'), 'old')
  await openVolume(await rig.parts())
  assert.equal(await readFile(join(rig.folder, 'old.mp4'), 'utf8'), 'old')
})

test('nodes that start together make one archive', async (t) => {
  const rig = await withRig(t)
  const opened = Array.from({ length: 8 }, async () => openVolume(await rig.parts()))
  const [first, ...others] = await Promise.all(opened)
  for (const other of others) assert.equal(other.id, first?.id)
  await first?.verify()
})

test('who makes an archive without a database names the one that is there, also when another was faster', async (t) => {
  const disk = await openDisk(await withFolder(t))
  const folders = createDurableFolders(disk)
  let faster: string | undefined
  const link = async (from: string, to: string) => {
    faster = await initVolumeAlone({ disk, folders })
    return disk.link(from, to)
  }
  assert.equal(await initVolumeAlone({ disk: { ...disk, link }, folders }), faster)
})

test('a crash after the database row and before the marker is finished by the next start', async (t) => {
  const rig = await withRig(t)
  const id = crypto.randomUUID()
  await rig.archives.insert(id)
  assert.equal((await openVolume(await rig.parts())).id, id)
})

test('a missing marker stops everything and names path, id and remedy', async (t) => {
  const rig = await withRig(t)
  const volume = await openVolume(await rig.parts())
  await rm(rig.marker)
  const expected = guides('VOLUME_MISSING', new RegExp(rig.folder), new RegExp(volume.id), /mount/)
  await assert.rejects(volume.verify(), expected)
  await assert.rejects(openVolume(await rig.parts()), expected)
  await assert.rejects(initVolume(await rig.parts()), expected)
})

test('a foreign marker stops everything and names both ids', async (t) => {
  const rig = await withRig(t)
  const volume = await openVolume(await rig.parts())
  const other = crypto.randomUUID()
  await writeFile(rig.marker, JSON.stringify({ schema_version: 1, id: other, created_at: '' }))
  const expected = guides('VOLUME_FOREIGN', new RegExp(volume.id), new RegExp(other), /accept-/)
  await assert.rejects(volume.verify(), expected)
  await assert.rejects(openVolume(await rig.parts()), expected)
})

for (const [what, text] of [
  ['torn', '{"schema_version":1,"id":"0199'],
  ['empty', ''],
  ['of a later schema', `{"schema_version":2,"id":"${crypto.randomUUID()}","created_at":""}`],
  ['without a proper id', '{"schema_version":1,"id":"7","created_at":""}'],
] as const) {
  test(`a marker that is ${what} is no marker of this archive and is not replaced`, async (t) => {
    const rig = await withRig(t)
    const volume = await openVolume(await rig.parts())
    await writeFile(rig.marker, text)
    for (const attempt of [
      () => volume.verify(),
      async () => openVolume(await rig.parts()),
      async () => acceptVolume(await rig.parts()),
    ])
      await assert.rejects(attempt(), guides('VOLUME_FOREIGN', /archive\.json/))
    assert.equal(await readFile(rig.marker, 'utf8'), text)
  })
}

test('a marker that the database does not know is taken only when a person says so', async (t) => {
  const rig = await withRig(t)
  const id = crypto.randomUUID()
  await mkdir(join(rig.folder, '.strongroom'))
  await writeFile(rig.marker, JSON.stringify({ schema_version: 1, id, created_at: '' }))
  const expected = guides('VOLUME_UNCLAIMED', new RegExp(id), /accept-volume/)
  await assert.rejects(openVolume(await rig.parts()), expected)
  await assert.rejects(initVolume(await rig.parts()), expected)
  assert.equal(await rig.archives.find(), null)
  assert.equal(await acceptVolume(await rig.parts()), id)
  assert.equal((await openVolume(await rig.parts())).id, id)
})

test('accepting needs a marker', async (t) => {
  const rig = await withRig(t)
  await assert.rejects(acceptVolume(await rig.parts()), guides('VOLUME_MISSING', /init-volume/))
})

test('accepting another volume makes it the database’s, items and all', async (t) => {
  const [rig, other] = [await withRig(t), await withRig(t)]
  const old = await openVolume(await rig.parts())
  const moved = await openVolume(await other.parts())
  const disk = await openDisk(other.folder)
  assert.equal(await acceptVolume(await rig.parts({ disk })), moved.id)
  assert.equal((await openVolume(await rig.parts({ disk }))).id, moved.id)
  await assert.rejects(openVolume(await rig.parts()), guides('VOLUME_FOREIGN', new RegExp(old.id)))
})

test('memory is never taken for a new archive unless a person says so', async (t) => {
  const rig = await withRig(t)
  assert.equal(await fileSystemKind('/dev/shm'), 'memory')
  const parts = await rig.parts({ fileSystem: 'memory' })
  await assert.rejects(openVolume(parts), guides('VOLUME_EPHEMERAL', /init-volume/))
  assert.deepEqual(await readdir(rig.folder), [])
  assert.equal(await rig.archives.find(), null)
  const id = await initVolume(parts)
  assert.equal((await openVolume(parts)).id, id)
  assert.equal(await initVolume(parts), id)
})

test('hard links are used where the file system has them, and the probe leaves nothing', async (t) => {
  const rig = await withRig(t)
  const parts = await rig.parts()
  assert.equal((await openVolume(parts)).canLink, true)
  const disk = withoutLinks(parts.disk, 'LINK_REFUSED')
  assert.equal((await openVolume(await rig.parts({ disk }))).canLink, false)
  assert.deepEqual(await readdir(join(rig.folder, '.strongroom/tmp')), [])
  const broken = withoutLinks(parts.disk, 'DISK_SICK')
  await assert.rejects(openVolume(await rig.parts({ disk: broken })), hasCode('DISK_SICK'))
})

test('a probe for hard links whose file another node swept away is tried again', async (t) => {
  const rig = await withRig(t)
  await openVolume(await rig.parts())
  const disk = await openDisk(rig.folder)
  let swept = 0
  const busy: Disk = {
    ...disk,
    link: async (from, to) => {
      if (swept++ < 2) await disk.unlink(from)
      await disk.link(from, to)
    },
  }
  assert.equal((await openVolume(await rig.parts({ disk: busy }))).canLink, true)
  assert.equal(swept, 3)
  assert.deepEqual(await readdir(join(rig.folder, '.strongroom/tmp')), [])
})

test('an archive is made without hard links, too', async (t) => {
  const rig = await withRig(t)
  const disk = withoutLinks(await openDisk(rig.folder), 'LINK_REFUSED')
  const volume = await openVolume(await rig.parts({ disk }))
  assert.equal(typeof (await volume.verify()).device, 'number')
})

test('a disk that fails while the archive is made leaves no marker', async (t) => {
  const rig = await withRig(t)
  const disk = withoutLinks(await openDisk(rig.folder), 'DISK_SICK')
  await assert.rejects(openVolume(await rig.parts({ disk })), hasCode('DISK_SICK'))
  assert.deepEqual(await readdir(join(rig.folder, '.strongroom')), [])
  await openVolume(await rig.parts())
})

function withoutLinks(disk: Disk, code: ErrorCode): Disk {
  const link = async () => {
    throw new AppError(code, 'no link')
  }
  return { ...disk, link }
}

test('two write failures in a row are latched and survive restarts; one is not', async (t) => {
  const rig = await withRig(t)
  const volume = await openVolume(await rig.parts())
  const failure = new AppError('DISK_SICK', 'cannot sync x: the disk failed')
  await volume.noteWrite(failure)
  await volume.noteWrite(null)
  await volume.noteWrite(failure)
  assert.equal((await rig.archives.find())?.sick, null)
  await openVolume(await rig.parts())
  await assert.rejects(volume.noteWrite(failure), guides('DISK_SICK', /twice/, /accept-volume/))
  assert.match((await rig.archives.find())?.sick?.reason ?? '', /cannot sync x/)
  const refused = guides('DISK_SICK', /cannot sync x/, /accept-volume/)
  await assert.rejects(openVolume(await rig.parts()), refused)
  await acceptVolume(await rig.parts())
  await openVolume(await rig.parts())
})
