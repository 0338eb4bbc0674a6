import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Fault, Operation, SeenRequest } from '../../src/demo/bucket.ts'
import { photograph, tree, violations } from '../support/checker.ts'
import { type DemoBucket, withDemoBucket } from '../support/demo-bucket.ts'
import { mountsRefused, withVolume } from '../support/scopes.ts'
import {
  type Ended,
  logOf,
  type Running,
  type Service,
  story,
  withService,
} from '../support/service.ts'

const ONCE = ['sync', '--once', '--json']
const EXIT_ARCHIVE = 74
const VOLUME_BYTES = 64 * 1024 * 1024

/** The archive's folder with a volume on it that comes and goes while its contents live on elsewhere. */
interface Mountable {
  /** Where the archive's own contents can always be seen. */
  behind: string
  pull(): Promise<void>
  /** Mounts the archive again, or another volume in its place. */
  plug(other?: string): Promise<void>
}

interface Scene {
  service: Service
  volume: Mountable
  demo: DemoBucket
  bucketLog(operation: Operation): number
  /** Asked for every request to the bucket. */
  fault: { of: (request: SeenRequest) => Fault | undefined }
  id: string
}

/** An archive on a tmpfs of its own, initialised, beside our own bucket server, which can misbehave and tells all. */
async function withPullable(t: TestContext): Promise<Scene> {
  const plugs = { plugged: 0 }
  const at = { folder: '' }
  const run = promisify(execFile)
  const pull = async () => {
    plugs.plugged -= 1
    await run('umount', ['--lazy', at.folder])
  }
  t.after(async () => {
    while (plugs.plugged > 0) await pull() // before its folder is removed
  })
  const { folder: behind } = await withVolume(t, VOLUME_BYTES)
  const fault: Scene['fault'] = { of: () => undefined }
  const demo = await withDemoBucket(t, { onRequest: (request) => fault.of(request) })
  const service = await withService(t, { bucket: demo, env: { RELEASE_GRACE: '0' } })
  at.folder = service.archiveDir
  const plug = async (other = behind) => {
    await run('mount', ['--bind', other, at.folder])
    plugs.plugged += 1
  }
  await plug()
  const made = await service.run(['init-volume'])
  assert.equal(made.code, 0, story(made))
  const id = /is archive ([0-9a-f-]{36})/.exec(made.stdout)?.[1] ?? ''
  const bucketLog = (operation: Operation) =>
    demo.server.requests.filter((request) => request.operation === operation).length
  return { service, volume: { behind, pull, plug }, demo, bucketLog, fault, id }
}

/** Waits until a download has brought bytes into the archive's temporary folder. */
async function partHasBytes(folder: string): Promise<void> {
  const watcher = watch(folder, { persistent: false })
  try {
    for (;;) {
      for (const name of await readdir(folder)) {
        if (!name.endsWith('.part')) continue
        const facts = await stat(join(folder, name)).catch(() => null)
        if (facts !== null && facts.size > 0) return
      }
      await once(watcher, 'change')
    }
  } finally {
    watcher.close()
  }
}

/** Waits for `event`, but not for a process that has ended without it. */
async function orEnded(running: Running, event: Promise<void>): Promise<void> {
  const ended = running.ended.then((how) => assert.fail(`ended too early: ${story(how)}`))
  await Promise.race([event, ended])
}

function assertRefused(ended: Ended, expected: { code: string; names: string[] }): void {
  assert.equal(ended.code, EXIT_ARCHIVE, story(ended))
  const errors = logOf(ended).filter((line) => line.level === 'error')
  const plain = ended.stderr.split('\n').filter((line) => line.startsWith('strongroom: '))
  assert.equal(errors.length + plain.length, 1, `one error message, not more:\n${story(ended)}`)
  if (errors.length === 1) assert.equal(errors[0]?.error?.code, expected.code, story(ended))
  for (const name of expected.names)
    assert.ok(ended.stderr.includes(name), `names ${name}: ${story(ended)}`)
}

async function countOf(service: Service): Promise<Record<string, number>> {
  const rows = await service.sql<{ state: string; count: number }[]>`
    select state, count(*) from strongroom.items group by state`
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
}

async function assertConverges({ service, volume }: Scene): Promise<void> {
  await volume.plug()
  await service.expireLeases()
  const next = await service.run(ONCE)
  assert.equal(next.code, 0, story(next))
  assert.deepEqual(await violations(service, { converged: true }), [])
}

describe('no volume, no verdict', { concurrency: 2, skip: mountsRefused() }, () => {
  test('an archive taken away in the middle of a download ends the run, and all is done once it is back', async (t) => {
    const scene = await withPullable(t)
    const { service, volume, bucketLog, fault, id } = scene
    await service.approve(3)
    const asked = Promise.withResolvers<void>()
    fault.of = ({ operation }) => {
      if (operation !== 'GetObject') return undefined
      asked.resolve()
      return { kind: 'stall', afterBytes: 100 }
    }
    const running = service.start(ONCE)
    await orEnded(running, asked.promise)
    await orEnded(running, partHasBytes(join(volume.behind, '.strongroom/tmp')))
    await volume.pull()
    const ended = await running.ended

    const names = [service.archiveDir, id, 'mount the volume of archive']
    assertRefused(ended, { code: 'VOLUME_MISSING', names })
    assert.deepEqual(await tree(service.archiveDir), {}, 'nothing was made under the mount point')
    assert.deepEqual(await countOf(service), { waiting: 3 })
    assert.equal(bucketLog('DeleteObject'), 0)
    fault.of = () => undefined
    await assertConverges(scene)
  })

  test('an archive taken away between publish and record is recorded only once it is back', async (t) => {
    const scene = await withPullable(t)
    const { service, volume, bucketLog, id } = scene
    await service.approve(3)
    const running = service.start(ONCE, {
      STRONGROOM_HALT: 'published:SIGSTOP',
      SYNC_CONCURRENCY: '1',
    })
    await running.stoppedAt('published')
    await volume.pull()
    running.kill('SIGCONT')
    const ended = await running.ended

    const names = [service.archiveDir, id, 'mount the volume of archive']
    assertRefused(ended, { code: 'VOLUME_MISSING', names })
    assert.deepEqual(await tree(service.archiveDir), {}, 'nothing was made under the mount point')
    assert.deepEqual(await countOf(service), { publishing: 1, waiting: 2 })
    assert.equal(bucketLog('DeleteObject'), 0)
    await assertConverges(scene)
  })

  test('an archive taken away before a source is deleted keeps the source', async (t) => {
    const scene = await withPullable(t)
    const { service, volume, bucketLog } = scene
    await service.approve(3)
    const running = service.start(ONCE, { STRONGROOM_HALT: 'release-claimed:SIGSTOP' })
    await running.stoppedAt('release-claimed')
    await volume.pull()
    running.kill('SIGCONT')
    const ended = await running.ended
    assertRefused(ended, { code: 'VOLUME_MISSING', names: [service.archiveDir] })
    assert.deepEqual(await countOf(service), { releasing: 3 })
    assert.equal(bucketLog('DeleteObject'), 0)
    await assertConverges(scene)
  })

  test('an empty disk in the place of the archive marks nothing missing and fetches nothing again', async (t) => {
    const scene = await withPullable(t)
    const { service, volume, bucketLog, id } = scene
    await service.approve(3)
    const first = await service.run(ONCE, { RELEASE_GRACE: '24h' })
    assert.equal(first.code, 0, story(first))
    await service.sql`update strongroom.items set release_due = now() - interval '1 hour'`
    await service.approve(2)
    await volume.pull()
    const { folder: empty } = await withVolume(t, VOLUME_BYTES)
    await volume.plug(empty)
    const before = await photograph(service)
    const fetched = bucketLog('GetObject')

    const ended = await service.run(ONCE)
    assertRefused(ended, { code: 'VOLUME_MISSING', names: [service.archiveDir, id] })
    assert.deepEqual(await photograph(service), before)
    assert.equal(bucketLog('GetObject'), fetched)
    assert.equal(bucketLog('DeleteObject'), 0)
    await volume.pull()
    await assertConverges(scene)
  })

  test('the archive of another database is not touched', async (t) => {
    const scene = await withPullable(t)
    const { service, volume, bucketLog, id } = scene
    await service.approve(3)
    await volume.pull()
    const { folder: foreign } = await withVolume(t, VOLUME_BYTES)
    const other = crypto.randomUUID()
    const marker = { schema_version: 1, id: other, created_at: '2026-01-01T00:00:00.000Z' }
    await mkdir(join(foreign, '.strongroom'))
    await writeFile(join(foreign, '.strongroom/archive.json'), JSON.stringify(marker))
    await volume.plug(foreign)
    const before = await photograph(service)

    const ended = await service.run(ONCE)
    const names = [service.archiveDir, id, other, 'accept-volume']
    assertRefused(ended, { code: 'VOLUME_FOREIGN', names })
    assert.deepEqual(await photograph(service), before)
    assert.equal(bucketLog('GetObject'), 0)
    await volume.pull()
    await assertConverges(scene)
  })

  test('a new archive in memory is made only by init-volume', async (t) => {
    const { service, volume } = await withPullable(t)
    await volume.pull()
    const { folder: fresh } = await withVolume(t, VOLUME_BYTES)
    await volume.plug(fresh)
    await service.sql`delete from strongroom.archives`
    await service.approve(1)
    const refused = await service.run(ONCE)
    assertRefused(refused, { code: 'VOLUME_EPHEMERAL', names: [service.archiveDir, 'init-volume'] })
    assert.deepEqual(await tree(service.archiveDir), {})
    assert.equal((await service.run(['init-volume'])).code, 0)
    assert.equal((await service.run(ONCE)).code, 0)
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
})
