import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { type RunningPostgres, startPostgres } from '../support/postgres.ts'
import { startTalking, type TalkingProgram } from '../support/program.ts'
import { mountsRefused, withVolume } from '../support/scopes.ts'
import { type Service, story, withService } from '../support/service.ts'

/** What ffprobe thinks of files is judged elsewhere. */
const PROBE = join(import.meta.dirname, '../torture/probe.sh')
const MIB = 1024 * 1024
const ITEMS = Number(process.env.STRONGROOM_TEST_OUTAGE_ITEMS ?? 20)

interface Scene {
  service: Service
  program: TalkingProgram
  bucketFails(fault: Fault | undefined): void
  fillDisk(): Promise<void>
  freeDisk(): Promise<void>
}

async function archivedCount({ sql }: Service): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) from media where status = 'archived'`
  return row?.count ?? 0
}

async function untilAllArchived({ service }: Scene): Promise<void> {
  while ((await archivedCount(service)) < service.uploads.length) await delay(50)
}

function outage(status: number, code: string): Fault {
  return { kind: 'answer', status, code }
}

describe('outages of all that a running service needs', { skip: mountsRefused() }, () => {
  let server: RunningPostgres
  before(async () => {
    server = await startPostgres()
  })
  after(() => server.stop())

  async function withRunning(t: TestContext): Promise<Scene> {
    const { folder } = await withVolume(t, 64 * MIB)
    const [archiveDir, errorDir] = [join(folder, 'archive'), join(folder, 'errors')]
    await Promise.all([mkdir(archiveDir), mkdir(errorDir)])
    let fault: Fault | undefined
    // What the backend uploads meanwhile arrives.
    const onRequest = ({ operation }: SeenRequest) =>
      operation === 'PutObject' ? undefined : fault
    const bucket = await withDemoBucket(t, { onRequest })
    const own = { ARCHIVE_DIR: archiveDir, ERROR_DIR: errorDir, FFPROBE_PATH: PROBE }
    const env = { ...own, RELEASE_GRACE: '0' }
    const made = await withService(t, { bucket, server, env })
    const service: Service = { ...made, archiveDir, errorDir, env: { ...made.env, ...env } }
    const volume = await service.run(['init-volume'])
    assert.equal(volume.code, 0, story(volume))
    const settings = { ...service.env, SYNC_INTERVAL: '1s', LOG_LEVEL: 'info' }
    const filler = join(folder, 'filler')
    return {
      service,
      program: startTalking(t, ['start', '--role', 'sync'], settings),
      bucketFails: (next) => {
        fault = next
      },
      async fillDisk() {
        const { bavail, bsize } = await statfs(folder)
        await promisify(execFile)('fallocate', ['-l', String(bavail * bsize), filler])
      },
      freeDisk: () => rm(filler),
    }
  }

  test('are over by themselves: with nobody’s hand every item is archived and released, and none burnt an attempt', async (t) => {
    const scene = await withRunning(t)
    const { service, program } = scene
    const stops = (code: string, from: number) =>
      program.said(new RegExp(`"level":"error".*"code":"${code}"`), from)
    await service.approve(ITEMS)
    await untilAllArchived(scene)

    for (const [fault, code] of [
      [outage(503, 'ServiceUnavailable'), 'BUCKET_UNAVAILABLE'],
      [outage(500, 'InternalError'), 'BUCKET_UNAVAILABLE'],
      [outage(401, 'Unauthorized'), 'BUCKET_DENIED'],
      [outage(403, 'AccessDenied'), 'BUCKET_DENIED'],
    ] as const) {
      const mark = program.mark()
      scene.bucketFails(fault)
      await service.approve(ITEMS)
      await stops(code, mark)
      scene.bucketFails(undefined)
      await untilAllArchived(scene)
    }

    await scene.fillDisk()
    const full = program.mark()
    await service.approve(ITEMS)
    await stops('DISK_LOW', full)
    await scene.freeDisk()
    await untilAllArchived(scene)

    await service.approve(ITEMS)
    const down = program.mark()
    await server.restart('immediate', async () => {
      await program.said(/"code":"DB_UNAVAILABLE"/, down)
    })
    await untilAllArchived(scene)

    scene.bucketFails(outage(503, 'ServiceUnavailable'))
    await scene.fillDisk()
    const all = program.mark()
    await service.approve(ITEMS)
    await server.restart('immediate', async () => {
      await program.said(/"code":"DB_UNAVAILABLE"/, all)
    })
    scene.bucketFails(undefined)
    await scene.freeDisk()
    await untilAllArchived(scene)

    while ((await unreleased(service)) > 0) await delay(50)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(await violations(service, { converged: true }), [])
    const [row] = await service.sql<{ count: number; burnt: number }[]>`
      select count(*) as count, max(attempts) as burnt from strongroom.items`
    t.diagnostic(`${row?.count} items`)
    assert.deepEqual(row, { count: service.uploads.length, burnt: 0 })
  })
})

async function unreleased({ sql }: Service): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) from strongroom.items where state <> 'released'`
  return row?.count ?? 0
}
