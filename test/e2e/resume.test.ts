import assert from 'node:assert/strict'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { BucketServer, Fault } from '../../src/demo/bucket.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { approveMedium, assertArchived, assertKept, type Medium } from '../support/media-rows.ts'
import { withMuteProxy } from '../support/mute-proxy.ts'
import { withBucket } from '../support/s3.ts'
import { type Running, type Service, story, withService } from '../support/service.ts'

const ONCE = ['sync', '--once', '--json']
const MIB = 1 << 20
const PART_BYTES = 8 * MIB
const env = { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '1' }

interface Scene {
  service: Service
  medium: Medium
  server: BucketServer
  /** Meets the downloads of the object, at first with the cut at 90 %, or all requests. */
  fault: { of: (nth: number) => Fault | undefined; isAway: boolean }
}

const ninety = ({ bytes }: Pick<Medium, 'bytes'>) => Math.floor(bytes.length * 0.9)

/** One approved video in a bucket that goes mute after nine tenths of the first download. */
async function withCut(
  t: TestContext,
  { sizeBytes = 12 * MIB, inParts = false, more = {} } = {},
): Promise<Scene> {
  const bytes = uniqueMedia('video', 90, sizeBytes)
  const key = 'uploads/large.mp4'
  const fault: Scene['fault'] = {
    isAway: false,
    of: (nth) => (nth === 1 ? { kind: 'stall', afterBytes: ninety({ bytes }) } : undefined),
  }
  let downloads = 0
  const demo = await withDemoBucket(t, {
    onRequest({ operation, key: asked }) {
      const met = operation === 'GetObject' && asked === key ? fault.of(++downloads) : undefined
      return fault.isAway ? { kind: 'drop' } : met
    },
  })
  const service = await withService(t, { bucket: demo, env: { ...env, ...more } })
  if (inParts) await demo.admin.putMultipart(key, slices(bytes, PART_BYTES))
  const medium = await approveMedium(service, { kind: 'video', key, bytes, uploaded: !inParts })
  return { service, medium, server: demo.server, fault }
}

function slices(bytes: Buffer, length: number): Buffer[] {
  const count = Math.ceil(bytes.length / length)
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * length, (n + 1) * length))
}

/** Starts a run and resolves once so much of the object lies in its temporary. */
async function runUntil(service: Service, sizeBytes: number): Promise<Running> {
  const folder = temporaryFolder(service)
  await mkdir(folder, { recursive: true })
  const watcher = watch(folder)
  try {
    const running = service.start(ONCE)
    const ended = running.ended.then((how) => assert.fail(`ended too early: ${story(how)}`))
    for (;;) {
      const changed = once(watcher, 'change') // before the look, so that no change is missed
      if ((await partOf(service)).sizeBytes >= sizeBytes) return running
      await Promise.race([changed, ended])
    }
  } finally {
    watcher.close()
  }
}

async function killAt(service: Service, sizeBytes: number): Promise<void> {
  const running = await runUntil(service, sizeBytes)
  running.kill('SIGKILL')
  await running.ended
  await service.expireLeases()
}

function temporaryFolder({ archiveDir }: Service): string {
  return join(archiveDir, '.strongroom/tmp')
}

/** The largest download in the temporary folder; the program may take any away meanwhile. */
async function partOf(service: Service): Promise<{ path: string; sizeBytes: number }> {
  let largest = { path: '', sizeBytes: 0 }
  for (const name of await readdir(temporaryFolder(service))) {
    const path = join(temporaryFolder(service), name)
    const sizeBytes = (await stat(path).catch(() => null))?.size ?? 0
    if (name.endsWith('.part') && sizeBytes > largest.sizeBytes) largest = { path, sizeBytes }
  }
  return largest
}

/** A run that is undisturbed. @returns the bytes of objects that the bucket sent for it */
async function finish({ service, medium, server }: Scene): Promise<number> {
  const before = server.requests.length
  const ended = await service.run(ONCE)
  assert.equal(ended.code, 0, story(ended))
  await assertArchived(service, medium)
  assert.deepEqual(await readdir(temporaryFolder(service)), [])
  const downloads = server.requests
    .slice(before)
    .filter(({ operation }) => operation === 'GetObject')
  return downloads.reduce((sum, { sentBytes }) => sum + sentBytes, 0)
}

describe('a download that was cut off at 90 %', { concurrency: 2 }, () => {
  for (const inParts of [false, true]) {
    const how = inParts ? 'in parts' : 'whole'
    test(`by kill -9 costs the next start the last tenth of an object uploaded ${how}, and every byte is proven`, async (t) => {
      const scene = await withCut(t, { sizeBytes: 64 * MIB, inParts })
      const { service, medium } = scene
      await killAt(service, ninety(medium))
      await assertKept(service, medium)
      const sentBytes = await finish(scene)
      assert.equal(sentBytes, medium.bytes.length - ninety(medium))
      assert.ok(sentBytes <= medium.bytes.length / 10 + PART_BYTES)
    })
  }

  test('by kill -9 goes on from Swift too', async (t) => {
    const bytes = uniqueMedia('video', 91, 24 * MIB)
    const bucket = await withBucket(t)
    const { endpoint } = bucket.config
    const proxy = await withMuteProxy(t, { endpoint, passBytes: ninety({ bytes }) })
    const service = await withService(t, { bucket, env: { ...env, R2_ENDPOINT: proxy.endpoint } })
    const medium = await approveMedium(service, { kind: 'video', bytes })
    // Headers and two listings went through as well.
    await killAt(service, ninety({ bytes }) - 65_536)
    const before = proxy.passedBytes()
    proxy.open()
    const ended = await service.run(ONCE)
    assert.equal(ended.code, 0, story(ended))
    await assertArchived(service, medium)
    assert.ok(proxy.passedBytes() - before <= bytes.length / 10 + PART_BYTES)
    assert.deepEqual(await readdir(temporaryFolder(service)), [])
  })

  test('twice keeps what both runs fetched', async (t) => {
    const scene = await withCut(t)
    const { service, medium, fault } = scene
    const half = medium.bytes.length >> 1
    fault.of = (nth) => {
      if (nth === 1) return { kind: 'stall', afterBytes: half }
      return nth === 2 ? { kind: 'stall', afterBytes: ninety(medium) - half } : undefined
    }
    await killAt(service, half)
    await killAt(service, ninety(medium))
    assert.equal(await finish(scene), medium.bytes.length - ninety(medium))
  })

  test('and whose object was replaced meanwhile is fetched anew, the new version', async (t) => {
    const scene = await withCut(t)
    const { service, medium } = scene
    await killAt(service, ninety(medium))
    const bytes = uniqueMedia('video', 92, medium.bytes.length)
    assert.equal(bytes.length, medium.bytes.length)
    await service.admin.put(medium.key, bytes)
    assert.equal(await finish({ ...scene, medium: { ...medium, bytes } }), bytes.length)
  })

  test('and whose bytes changed on the disk meanwhile is caught and fetched anew', async (t) => {
    const scene = await withCut(t)
    const { service, medium } = scene
    await killAt(service, ninety(medium))
    const { path } = await partOf(service)
    await using file = await open(path, 'r+')
    const at = 5 * MIB
    await file.write(Buffer.from([(medium.bytes[at] ?? 0) ^ 1]), 0, 1, at)
    const sentBytes = await finish(scene)
    assert.equal(sentBytes, medium.bytes.length - ninety(medium) + medium.bytes.length)
  })

  test('by the end of SHUTDOWN_TIMEOUT goes on at the next start, which waits for no lease', async (t) => {
    const scene = await withCut(t, { more: { SHUTDOWN_TIMEOUT: '1s' } })
    const { service, medium } = scene
    const running = await runUntil(service, ninety(medium))
    running.kill('SIGTERM')
    const ended = await running.ended
    assert.equal(ended.code, 1, story(ended))
    assert.equal(await finish(scene), medium.bytes.length - ninety(medium))
  })

  test('by the bucket going away goes on when it is back', async (t) => {
    const scene = await withCut(t)
    const { service, medium, fault } = scene
    fault.of = (nth) => {
      fault.isAway = nth > 1
      return { kind: 'truncate', afterBytes: ninety(medium) }
    }
    const ended = await service.run(ONCE)
    assert.equal(ended.code, 69, story(ended))
    fault.of = () => undefined
    fault.isAway = false
    const sentBytes = await finish(scene)
    // What had arrived but was not written yet may have been lost with the connection.
    assert.ok(sentBytes <= medium.bytes.length / 10 + PART_BYTES, `${sentBytes}`)
  })
})
