import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import {
  approveMedium,
  assertArchived,
  assertKept,
  itemOf,
  type Medium,
  statesOf,
} from '../support/media-rows.ts'
import { mountsRefused, withFolder, withVolume } from '../support/scopes.ts'
import { logOf, type Service, type ServiceOptions, story, withService } from '../support/service.ts'

const once = ['sync', '--once', '--json']
const MIB = 1024 * 1024
const skip = mountsRefused()

async function remount(folder: string, options: string): Promise<void> {
  await promisify(execFile)('mount', ['-o', `remount,${options}`, folder])
}

/** A service whose archive is a small file system of its own. */
async function withSmallArchive(t: TestContext, options: ServiceOptions & { sizeBytes: number }) {
  const { folder } = await withVolume(t, options.sizeBytes)
  const env = { ARCHIVE_DIR: folder, SYNC_CONCURRENCY: '1', ...options.env }
  const service: Service = { ...(await withService(t, { ...options, env })), archiveDir: folder }
  const made = await service.run(['init-volume'])
  assert.equal(made.code, 0, story(made))
  return service
}

async function assertWaiting(service: Service, medium: Medium): Promise<void> {
  const { state, attempts, lease_owner: owner } = await itemOf(service, medium.mediaId)
  assert.deepEqual([state, attempts, owner], ['waiting', 0, null], 'no attempt was burnt')
  await assertKept(service, medium)
  assert.deepEqual(await readdir(join(service.archiveDir, '.strongroom/tmp')), [])
}

describe('a disk that is in the way costs no item and no source', { concurrency: 2, skip }, () => {
  test('a full disk ends the run with 74; with more room everything converges', async (t) => {
    const env = { RELEASE_GRACE: '0' }
    const service = await withSmallArchive(t, { sizeBytes: 4 * MIB, env })
    const media: Medium[] = []
    for (let n = 0; n < 4; n++) {
      media.push(
        await approveMedium(service, {
          kind: 'video',
          bytes: uniqueMedia('video', 100 + n, 1.2 * MIB),
        }),
      )
    }
    const ended = await service.run(once)
    assert.equal(ended.code, 74, story(ended))
    const [error] = logOf(ended).filter(({ level }) => level === 'error')
    assert.match(error?.error?.message ?? '', /bytes free, \d+ are needed/)
    assert.match(error?.error?.hint ?? '', /make room on that disk/)
    const [first, second, third, fourth] = media
    for (const medium of [first, second]) if (medium) await assertArchived(service, medium)
    for (const medium of [third, fourth]) if (medium) await assertWaiting(service, medium)

    await remount(service.archiveDir, `size=${12 * MIB}`)
    const roomy = await service.run(once)
    assert.equal(roomy.code, 0, story(roomy))
    for (const medium of media) await assertArchived(service, medium)
    assert.deepEqual(await statesOf(service), { released: 4 })
    assert.deepEqual(await service.admin.list(), [])
  })

  for (const { least, says } of [
    { least: '0', says: /no space is left there \(ENOSPC\)/ },
    { least: '1%', says: /"DISK_LOW".* has \d+ bytes free, \d+ are needed/ },
  ])
    test(`a disk that fills up in the middle of a file leaves no part of it behind (FREE_SPACE_MIN=${least})`, async (t) => {
      const filler = { path: '' }
      const onRequest = ({ operation }: { operation: string }) => {
        // Somebody else writes to the disk at the worst moment: after the space was found to be enough.
        if (operation === 'GetObject' && filler.path !== '') fill(filler.path, 5 * MIB)
        return undefined
      }
      const bucket = await withDemoBucket(t, { onRequest })
      const env = { FREE_SPACE_MIN: least }
      const service = await withSmallArchive(t, { sizeBytes: 8 * MIB, bucket, env })
      const big = await approveMedium(service, {
        kind: 'video',
        bytes: uniqueMedia('video', 200, 4 * MIB),
      })
      filler.path = join(service.archiveDir, 'filler')
      const ended = await service.run(once)
      filler.path = ''
      assert.equal(ended.code, 74, story(ended))
      assert.match(ended.stderr, says)
      assert.match(ended.stderr, /work goes on by itself/)
      await assertWaiting(service, big)

      await rm(join(service.archiveDir, 'filler'))
      const roomy = await service.run(once)
      assert.equal(roomy.code, 0, story(roomy))
      await assertArchived(service, big)
    })

  test('a read-only archive ends the run with 74 and is used again once it is writable', async (t) => {
    const service = await withSmallArchive(t, { sizeBytes: 8 * MIB })
    const medium = await approveMedium(service)
    await remount(service.archiveDir, 'ro')
    const ended = await service.run(once)
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, new RegExp(`${service.archiveDir}.*mounted read-only`))
    assert.match(ended.stderr, /mount it writable/)
    await assertKept(service, medium)

    await remount(service.archiveDir, 'rw')
    const writable = await service.run(once)
    assert.equal(writable.code, 0, story(writable))
    await assertArchived(service, medium)
  })

  test('a verdict waits until ERROR_DIR, a file system of its own, can be written', async (t) => {
    const errors = await withVolume(t, 2 * MIB)
    const service = await withService(t, { env: { ERROR_DIR: errors.folder } })
    const invalid = await approveMedium(service, { bytes: Buffer.from('no picture') })
    await remount(errors.folder, 'ro')
    const ended = await service.run(once)
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, new RegExp(`${errors.folder}.*mounted read-only`))
    await assertWaiting(service, invalid)

    await remount(errors.folder, 'rw')
    const writable = await service.run(once)
    assert.equal(writable.code, 0, story(writable))
    assert.equal((await itemOf(service, invalid.mediaId)).state, 'rejected')
    assert.equal((await readdir(errors.folder)).length, 2, 'copy and report')
    await assertKept(service, invalid)
  })
})

describe('a folder that is not what it must be ends the run with 74', { concurrency: 2 }, () => {
  test('an ERROR_DIR that cannot be made is named', async (t) => {
    const folder = await withFolder(t)
    await writeFile(join(folder, 'file'), '')
    const service = await withService(t, { env: { ERROR_DIR: join(folder, 'file/errors') } })
    const medium = await approveMedium(service)
    const ended = await service.run(once)
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, /ERROR_DIR: cannot create .*\/file\/errors: .*\(ENOTDIR\)/)
    await assertKept(service, medium)
  })

  test('another archive at ARCHIVE_DIR is refused until it is accepted', async (t) => {
    const service = await withService(t)
    const other = await withService(t)
    for (const each of [service, other]) {
      await approveMedium(each)
      assert.equal((await each.run(once)).code, 0)
    }
    const later = await approveMedium(service)
    const elsewhere = { ARCHIVE_DIR: other.archiveDir }
    const before = await readdir(other.archiveDir, { recursive: true })
    const ended = await service.run(once, elsewhere)
    assert.equal(ended.code, 74, story(ended))
    assert.match(
      ended.stderr,
      new RegExp(`${other.archiveDir} carries archive \\S+, expected \\S+`),
    )
    assert.match(ended.stderr, /mount the volume of archive .* or run "strongroom accept-volume"/)
    await assertKept(service, later)
    assert.deepEqual(await readdir(other.archiveDir, { recursive: true }), before)

    const accepted = await service.run(['accept-volume'], elsewhere)
    assert.equal(accepted.code, 0, story(accepted))
    const moved = await service.run(once, elsewhere)
    assert.equal(moved.code, 0, story(moved))
    await assertArchived({ ...service, archiveDir: other.archiveDir }, later)
  })

  test('an archive that is a file is refused', async (t) => {
    const folder = await withFolder(t)
    await writeFile(join(folder, 'archive'), '')
    await mkdir(join(folder, 'errors'))
    const service = await withService(t)
    const ended = await service.run(once, { ARCHIVE_DIR: join(folder, 'archive') })
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, new RegExp(`ARCHIVE_DIR ${folder}/archive is not a folder`))
  })
})

function fill(path: string, bytes: number): void {
  writeFileSync(path, Buffer.alloc(bytes))
}
