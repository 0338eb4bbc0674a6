/** One download at a time, from our own bucket with its faults to a real folder, without a database. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { CurrentItem } from '../../src/db/items.ts'
import type { Fault, LoggedRequest, SeenRequest, VirtualObject } from '../../src/demo/bucket.ts'
import type { Item } from '../../src/media.ts'
import type { Bucket, Sink, Take } from '../../src/storage/bucket.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'
import type { S3Options } from '../../src/storage/s3.ts'
import { type Downloaded, download } from '../../src/sync/download.ts'
import type { Policy } from '../../src/sync/parts.ts'
import { createSpace, type Space } from '../../src/sync/space.ts'
import { partPath, versionMark } from '../../src/sync/temporaries.ts'
import { TEMPORARY_FOLDER } from '../../src/sync/volume.ts'
import { type DemoBucket, openedS3, withDemoBucket } from './demo-bucket.ts'
import { withFolder } from './scopes.ts'
import { type LogLine, listeningLog, never, policy } from './worker.ts'

export const BYTES: Buffer = Buffer.alloc(700_000, 'what was approved')

export interface Rig extends DemoBucket {
  bucket: Bucket
  disk: Disk
  lines: LogLine[]
  /** What bodies have brought and their reader has taken. */
  arrived: { bytes: number }
  /** Where the sweep thinks that items are. */
  current: Map<number, CurrentItem>
  /** Requests that came since the object was put there, oldest first. */
  requests(): readonly LoggedRequest[]
  operations(): string[]
  download(
    options?: Partial<{
      item: Item
      signal: AbortSignal
      disk: Disk
      space: Pick<Space, 'reserve'>
    }>,
  ): Promise<Downloaded>
  /** Names in the temporary folder. */
  leftovers(): Promise<string[]>
  /** Makes what an interrupted epoch of item 7 leaves of the object as it was put there. @returns its path */
  leave(options: { epoch: number; bytes: Buffer; etag?: string }): Promise<string>
}

export interface RigOptions {
  fault?: (request: SeenRequest, nth: number) => Fault | undefined
  virtual?: VirtualObject
  policy?: Partial<Policy>
  checksums?: boolean
  s3?: S3Options
  bytes?: Buffer
}

/** An archive folder and a bucket with the object `a`; faults begin once it is there. */
export async function withRig(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  const root = await withFolder(t)
  await mkdir(join(root, TEMPORARY_FOLDER), { recursive: true })
  const seen: Record<string, number> = {}
  let armed = false
  const demo = await withDemoBucket(t, {
    minPartBytes: 1,
    checksums: options.checksums ?? true,
    ...(options.virtual && { virtual: new Map([['a', options.virtual]]) }),
    onRequest(request) {
      if (!armed) return undefined
      seen[request.operation] = (seen[request.operation] ?? 0) + 1
      return options.fault?.(request, seen[request.operation] ?? 0)
    },
  })
  if (options.virtual === undefined) await demo.admin.put('a', options.bytes ?? BYTES)
  const disk = await openDisk(root)
  const arrived = { bytes: 0 }
  const bucket = counting(openedS3(t, demo.config, options.s3), arrived)
  const { log, lines } = listeningLog()
  const { bytes = BYTES } = options
  const source = options.virtual ?? { etag: md5(bytes), sizeBytes: bytes.length }
  const current: Rig['current'] = new Map()
  const items = { current: async () => current }
  const readBacks = null
  const parts = { bucket, items, readBacks, policy: { ...policy, ...options.policy }, log }
  const before = demo.server.requests.length
  armed = true
  const requests = () =>
    demo.server.requests.slice(before).filter(({ operation }) => !operation.startsWith('Put'))
  return {
    ...demo,
    bucket,
    disk,
    lines,
    arrived,
    current,
    requests,
    operations: () => requests().map(({ operation }) => operation),
    async download({ item = itemOf(), signal = never, disk: given = disk, space } = {}) {
      const found = await download(
        { ...parts, disk: given, space: space ?? createSpace(given) },
        item,
        signal,
      )
      t.after(() => found.part.close())
      return found
    },
    leftovers: () => disk.list(TEMPORARY_FOLDER),
    async leave({ epoch, bytes, etag = source.etag }) {
      const mark = versionMark(bucket.id, { key: 'a', etag, sizeBytes: source.sizeBytes })
      const path = partPath({ id: 7, epoch }, mark)
      const file = await disk.create(path)
      await file.write(bytes)
      await file.close()
      return path
    },
  }
}

function counting(bucket: Bucket, arrived: { bytes: number }): Bucket {
  return {
    ...bucket,
    async get(...asked) {
      const download = await bucket.get(...asked)
      const drain = (sink: Sink) => {
        const take: Take = (chunk) => {
          arrived.bytes += chunk.byteLength
          return sink.take(chunk)
        }
        return download.body.drain({ ...sink, take })
      }
      return { ...download, body: { ...download.body, drain } }
    },
  }
}

/** Item 7 in its third epoch, unless told otherwise. */
export function itemOf(media: Partial<Item['media']> = {}, epoch = 3): Item {
  return {
    id: 7,
    generation: 1,
    epoch,
    state: 'claimed',
    attempts: 0,
    lastError: null,
    intent: null,
    archivedAt: null,
    damaged: false,
    media: {
      mediaId: 70,
      userId: null,
      title: null,
      filename: 'a.mp4',
      contentType: 'video',
      mimeType: 'video/mp4',
      declaredBytes: null,
      objectKey: 'a',
      approvedAt: new Date(),
      ...media,
    },
  }
}

/** The fault for the first `times` requests of this operation. */
export const on =
  (operation: string, fault: Fault, times = 1) =>
  (request: SeenRequest, nth: number): Fault | undefined =>
    request.operation === operation && nth <= times ? fault : undefined

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
export const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex')

/** An object whose ETag says whatever a test wants. */
export function made(facts: Partial<VirtualObject> & { bytes?: () => Buffer } = {}): VirtualObject {
  const { bytes = () => BYTES, ...rest } = facts
  return {
    sizeBytes: BYTES.length,
    etag: md5(BYTES),
    lastModified: new Date(Date.now() - 1000),
    read: (offset, length) => bytes().subarray(offset, offset + length),
    ...rest,
  }
}

/** Where each GET began, and how many bytes it was sent. */
export function gets(rig: Rig): { from: number; sentBytes: number; status: number | null }[] {
  return rig
    .requests()
    .filter(({ operation }) => operation === 'GetObject')
    .map(({ headers, sentBytes, status }) => {
      assert.ok(headers['if-match'], 'every GET names its version')
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? 'bytes=0-')?.[1])
      return { from, sentBytes, status }
    })
}

/** The file and what is told of it are the object, whatever the way there was. */
export async function assertWhole(rig: Rig, found: Downloaded, bytes = BYTES): Promise<void> {
  assert.deepEqual(await rig.disk.read(found.part.path, 1e8), bytes)
  assert.equal(found.sha256, sha256(bytes))
  assert.deepEqual(await rig.leftovers(), [found.part.path.split('/').at(-1)])
}

/** Of all temporaries. */
export async function sizesOf({ disk, leftovers }: Rig): Promise<(number | undefined)[]> {
  const names = await leftovers()
  return Promise.all(
    names.map(async (name) => (await disk.stat(`.strongroom/tmp/${name}`))?.sizeBytes),
  )
}
