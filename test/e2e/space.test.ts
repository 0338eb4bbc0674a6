import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { mediaKinds } from '../../src/media.ts'
import { tree, violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { startTalking } from '../support/program.ts'
import { mountsRefused, withVolume } from '../support/scopes.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

/** What ffprobe thinks of files is judged elsewhere. */
const PROBE = join(import.meta.dirname, '../torture/probe.sh')
const KIB = 1024
const MIB = 1024 * KIB
const ITEMS = Number(process.env.STRONGROOM_TEST_SPACE_ITEMS ?? 500)
const ITEM_BYTES = 96 * KIB
const REJECTED = 8
const REJECTED_BYTES = 1.5 * MIB
const policy = {
  FREE_SPACE_MIN: '4MiB',
  FREE_SPACE_TARGET: '9MiB',
  FREE_SPACE_CLEAN: 'errors,withdrawn',
  FREE_SPACE_CLEAN_AGE: '24h',
}

/** Archive and ERROR_DIR on one small file system. */
async function withSmallDisk(t: TestContext, sizeBytes: number, env: Env) {
  const { folder } = await withVolume(t, sizeBytes)
  const [archiveDir, errorDir] = [join(folder, 'archive'), join(folder, 'errors')]
  await Promise.all([mkdir(archiveDir), mkdir(errorDir)])
  const bucket = await withDemoBucket(t)
  const own = { ARCHIVE_DIR: archiveDir, ERROR_DIR: errorDir, FFPROBE_PATH: PROBE, ...env }
  const made = await withService(t, { bucket, env: own })
  const service: Service = { ...made, archiveDir, errorDir, env: { ...made.env, ...own } }
  const volume = await service.run(['init-volume'])
  assert.equal(volume.code, 0, story(volume))
  const resize = (bytes: number) =>
    promisify(execFile)('mount', ['-o', `remount,size=${bytes}`, folder])
  return { service, folder, resize }
}

/** What a backend approves of which the program makes nothing but a copy in ERROR_DIR. */
function approveInvalid(service: Service, count: number) {
  return service.approve(count, (n) => ({ bytes: Buffer.alloc(REJECTED_BYTES, `no media ${n}`) }))
}

function approveSized(service: Service, count: number) {
  const first = service.uploads.length + 1
  return service.approve(count, (n) => {
    const kind = mediaKinds[(first + n) % mediaKinds.length] ?? 'image'
    return { bytes: uniqueMedia(kind, first + n, ITEM_BYTES), fate: 'archived' }
  })
}

describe('a disk that is far too small', { skip: mountsRefused() }, () => {
  test(`stops ${ITEMS} items by its guard, never by a full disk, and takes them all once there is room`, async (t) => {
    const { service, folder, resize } = await withSmallDisk(t, 32 * MIB, policy)
    await approveInvalid(service, REJECTED)
    // Several at once need room for a download and a copy each: how much depends on their pace.
    const oneByOne = { SYNC_CONCURRENCY: '1' }
    const filled = await service.run(['sync', '--once', '--json'], oneByOne)
    const old = await readdir(service.errorDir)
    const then = new Date(Date.now() - 48 * 3_600_000)
    for (const name of old) await utimes(join(service.errorDir, name), then, then)
    await approveInvalid(service, 1)
    const young = await service.run(['sync', '--once', '--json'], oneByOne)
    assert.deepEqual([filled.code, young.code], [0, 0], story(filled) + story(young))
    await writeFile(join(service.errorDir, 'notes.txt'), 'a person wrote this')
    await utimes(join(service.errorDir, 'notes.txt'), then, then)
    const before = await tree(folder)
    await approveSized(service, ITEMS)

    const env = { ...service.env, SYNC_INTERVAL: '1h', LOG_LEVEL: 'debug' }
    const program = startTalking(t, ['start', '--role', 'sync'], env)
    await program.said(/"message":"made room on the disk"/)
    await program.said(/"message":"waiting for room on the disk"/)
    const [stopped] = await service.sql<{ count: number }[]>`
      select count(*) from media where status = 'archived'`
    const gone = Object.keys(before).filter((name) => name.startsWith('errors/'))
    const plan = await service.run(['clean', '--dry-run', '--json'])
    assert.equal(plan.code, 75, 'more is wanted than may go')
    const mark = program.mark()
    await resize(96 * MIB)
    await program.said(/"message":"there is room on the disk again"/, mark)
    await program.said(/"stoppedBy":null.*"message":"run finished"/, mark)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))

    t.diagnostic(`${stopped?.count} of ${ITEMS} were archived when nothing more could go`)
    assert.ok((stopped?.count ?? 0) > 0 && (stopped?.count ?? 0) < ITEMS)
    const said = `${ended.stdout}${ended.stderr}`
    assert.doesNotMatch(said, /ENOSPC|DISK_FULL/, 'no write was refused')
    assert.equal(said.match(/"message":"waiting for room on the disk"/g)?.length, 1)
    assert.deepEqual(await violations(service, { converged: true }), [])
    const after = await tree(folder)
    const changed = Object.keys(before).filter(
      (name) => before[name] !== 'folder' && before[name] !== after[name],
    )
    assert.deepEqual(changed.sort(), old.map((name) => `errors/${name}`).sort())
    const entered = await service.sql<{ path: string }[]>`
      select path from strongroom.removals where outcome = 'removed' order by path`
    assert.deepEqual(entered.map(({ path }) => path).sort(), old.toSorted())
    assert.ok(gone.length > old.length, 'young copies and foreign files were there to be kept')
  })

  test('is cleaned by hand as the plan said, and the plan alone changes nothing', async (t) => {
    const env = { ...policy, FREE_SPACE_MIN: '12MiB', FREE_SPACE_TARGET: '13MiB' }
    const { service, folder } = await withSmallDisk(t, 16 * MIB, env)
    await approveInvalid(service, 3)
    const filled = await service.run(['sync', '--once'], { FREE_SPACE_MIN: '0' })
    assert.equal(filled.code, 0, story(filled))
    const old = await readdir(service.errorDir)
    const then = new Date(Date.now() - 48 * 3_600_000)
    for (const name of old) await utimes(join(service.errorDir, name), then, then)
    const before = await tree(folder)
    const plan = await service.run(['clean', '--dry-run'])
    assert.equal(plan.code, 0, story(plan))
    assert.match(plan.stdout, /12\.0 MiB are to stay free, cleaning makes room up to 13\.0 MiB\n/)
    assert.match(plan.stdout, /would go: errors +media 1 +1\.5 MiB .* 1-1\.1-\S+\n/)
    assert.match(plan.stdout, /stays: 3-3\.1-\S+: enough would be free without it\n/)
    assert.match(plan.stdout, /would be free then: that is enough\n$/)
    assert.deepEqual(await tree(folder), before)

    const cleaned = await service.run(['clean'])
    assert.equal(cleaned.code, 0, story(cleaned))
    assert.match(cleaned.stdout, /files removed, \S+ MiB; 14\.\d MiB are free now\n$/)
    const left = await readdir(service.errorDir)
    assert.ok(left.length > 0 && left.length < old.length, left.join())
    const again = await service.run(['clean'])
    assert.match(again.stdout, /nothing has to go/)
    assert.deepEqual(await readdir(service.errorDir), left)
  })
})
