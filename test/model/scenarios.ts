import assert from 'node:assert/strict'
import type { Scenario } from './explore.ts'
import type { Operation } from './gate.ts'
import { REMOVED } from './invariants.ts'
import { upload } from './sim-bucket.ts'
import { addMedia, LEASE_MS, NOT_MEDIA, newWorld, startWorker, type World } from './world.ts'

/** Puts a file of somebody else into the archive, durable at once. */
export async function plant(world: World, path: string, content: string): Promise<void> {
  const { disk } = world
  const folders = path.split('/').slice(0, -1)
  for (const [depth] of folders.entries()) {
    await disk.makeFolder(folders.slice(0, depth + 1).join('/'))
    await disk.syncFolder(folders.slice(0, depth).join('/'))
  }
  const file = await disk.create(path)
  await file.write(Buffer.from(content))
  await file.seal(0o644)
  await disk.syncFolder(folders.join('/'))
  world.foreign.set(path, Buffer.from(content))
}

/** The disk spoils an archived file: the name stays, the bytes do not. */
export async function spoil(world: World, path: string): Promise<void> {
  const { disk } = world
  const content = Buffer.from(disk.tree().get(path)?.content ?? [])
  await disk.unlink(path)
  const file = await disk.create(path)
  content[0] = (content[0] ?? 0) ^ 1
  await file.write(content)
  await file.seal(0o644)
  await disk.syncFolder(path.slice(0, path.lastIndexOf('/')))
  world.damaged.set(path, disk.tree().get(path)?.inode ?? 0)
}

/** Somebody removes a file of the archive, or copies it elsewhere before, and syncs nothing of the copy. */
async function moveAway(world: World, path: string, to: string | null): Promise<void> {
  const { disk } = world
  const folders = [path, ...(to === null ? [] : [to])].map((name) =>
    name.slice(0, name.lastIndexOf('/')),
  )
  if (to !== null) {
    await disk.makeFolder(folders[1] ?? '')
    await disk.syncFolder('.strongroom/quarantine')
    disk.putUnsynced(to, disk.tree().get(path)?.content ?? Buffer.alloc(0), 0o644)
  }
  await disk.unlink(path)
  await disk.syncFolder(folders[0] ?? '')
  world.damaged.set(path, REMOVED)
}

/** A person moves an archived file and its sidecar to another folder, durably. */
async function moveByHand(world: World, path: string, to: string): Promise<void> {
  const { disk, damaged } = world
  const folder = to.slice(0, to.lastIndexOf('/'))
  await disk.makeFolder(folder)
  for (const end of ['.json', '']) {
    await disk.rename(`${path}${end}`, `${to}${end}`)
    damaged.set(`${path}${end}`, REMOVED)
  }
  for (const changed of ['', folder, path.slice(0, path.lastIndexOf('/'))])
    await disk.syncFolder(changed)
  world.movedTo = to
}

/** A person copies a file of the archive back from a backup, whole, and syncs nothing. */
function restore({ disk, damaged }: World, path: string): void {
  const content = disk.tree().get(path)?.content ?? Buffer.alloc(0)
  damaged.set(path, disk.putUnsynced(path, content, 0o644))
}

/** Another volume comes in the archive's place, or goes again: the same tree under another marker. */
export async function spoilMarker({ disk }: World): Promise<void> {
  const marker = '.strongroom/archive.json'
  const text = disk.tree().get(marker)?.content.toString() ?? ''
  const other = text.replace(/[0-9a-f](?=",\n {2}"created_at)/, (last) =>
    (Number.parseInt(last, 16) ^ 1).toString(16),
  )
  await disk.unlink(marker)
  const file = await disk.create(marker)
  await file.write(Buffer.from(other))
  await file.seal(0o644)
  await disk.syncFolder('.strongroom')
}

function withOne(options?: Parameters<typeof newWorld>[0]): World {
  const world = newWorld(options)
  addMedia(world, 1)
  return world
}

const path = '2026/01/clip-1.mp4'

async function archiveFirst(world: World): Promise<void> {
  await (await startWorker(world, { owner: 'earlier' })).cycle()
}

/** A process dies before its operation number `count` that `hits`, and its lease runs out. */
async function interrupt(
  world: World,
  hits: (operation: Operation) => boolean,
  count = 1,
): Promise<void> {
  const died = Promise.withResolvers<void>()
  let met = 0
  const worker = await startWorker(world, {
    owner: 'interrupted',
    gate(operation, moment) {
      if (moment === 'before' && hits(operation)) met += 1
      if (met < count) return undefined
      died.resolve()
      return new Promise(() => {})
    },
  })
  void worker.cycle()
  await died.promise
  world.clock.ms += LEASE_MS + 1_000
}

/** Half of the object had come, and lies in the temporary of a process that died. */
async function interruptDownload(world: World): Promise<void> {
  await interrupt(world, ({ name, path }) => name === 'write' && path.endsWith('.part'))
  const { bytes } = world.bucket.live.get('uploads/1.mp4') ?? assert.fail('nothing to fetch')
  await rewriteParts(world, () => bytes.subarray(0, bytes.byteLength >> 1))
}

async function rewriteParts({ disk }: World, contentOf: (before: Buffer) => Buffer): Promise<void> {
  const parts = [...disk.tree()].filter(([path]) => path.endsWith('.part'))
  assert.equal(parts.length, 1)
  for (const [path, entry] of parts) {
    const content = contentOf(Buffer.from(entry.content))
    await disk.unlink(path)
    const file = await disk.create(path)
    await file.write(content)
    await file.close()
  }
}

/** Until then a scrub looks at nothing again, and no grace is over. */
const SCRUB_MS = 2 * 3_600_000

function isReplaced({ bucket }: Pick<World, 'bucket'>): boolean {
  return bucket.uploaded.filter(({ key }) => key === 'uploads/1.mp4').length > 1
}

const released = () => ['released']

/** Every story of the model. */
export const scenarios: readonly Scenario[] = [
  { name: 'one item', begin: () => withOne(), ends: released },
  {
    name: 'one item of a bucket without conditional deletes',
    begin: () => withOne({ honoursIfMatch: false }),
    ends: released,
  },
  {
    name: 'a download that an earlier process began',
    begin: () => withOne(),
    prepare: interruptDownload,
    ends: released,
  },
  {
    name: 'a download that an earlier process began, of an object that was replaced since',
    begin: () => withOne(),
    async prepare(world) {
      const { ms } = world.clock
      await interruptDownload(world)
      upload(world.bucket, 'uploads/1.mp4', 'BYTES OF CLIP 1', ms)
    },
    ends: released,
  },
  {
    name: 'a download that an earlier process began, whose bytes the disk has spoiled since',
    begin: () => withOne(),
    async prepare(world) {
      await interruptDownload(world)
      await rewriteParts(world, (content) => {
        content[0] = (content[0] ?? 0) ^ 1
        return content
      })
    },
    ends: released,
  },
  {
    name: 'a copy that an earlier process filed and did not record',
    begin: () => withOne(),
    prepare: (world) => interrupt(world, ({ name }) => name === 'published'),
    ends: released,
  },
  {
    name: 'two items in one folder',
    begin() {
      const world = withOne()
      addMedia(world, 2)
      return world
    },
    concurrency: 2,
    ends: released,
  },
  {
    name: 'two items of one name',
    begin() {
      const world = withOne()
      addMedia(world, 2, { filename: 'clip-1.mp4' })
      return world
    },
    ends: released,
  },
  {
    name: 'two items of one name at once',
    begin() {
      const world = withOne()
      addMedia(world, 2, { filename: 'clip-1.mp4' })
      return world
    },
    concurrency: 2,
    ends: released,
  },
  {
    name: 'a file system that refuses links',
    begin: () => withOne({ linksRefused: true }),
    ends: released,
  },
  {
    name: 'a name that a foreign file has',
    begin: () => withOne(),
    prepare: (world) => plant(world, path, 'foreign'),
    ends: released,
  },
  {
    name: 'a foreign file that comes just before the link',
    begin: () => withOne(),
    async meddle(world, { name }) {
      if (name === 'sidecar-linked' && world.foreign.size === 0) await plant(world, path, 'foreign')
    },
    ends: released,
  },
  {
    name: 'a foreign file that comes just before the rename',
    begin: () => withOne({ linksRefused: true }),
    async meddle(world, { name }) {
      const taken = path.replace('.mp4', '~1.1.mp4')
      if (name === 'sidecar-linked' && world.foreign.size === 0)
        await plant(world, taken, 'foreign')
    },
    ends: released,
  },
  {
    name: 'a foreign sidecar that comes just before the link',
    begin: () => withOne(),
    async meddle(world, { name }) {
      if (name === 'sidecar-written' && world.foreign.size === 0)
        await plant(world, `${path}.json`, '{}')
    },
    ends: released,
  },
  {
    name: 'a row that is un-approved before it is recorded',
    begin: () => withOne(),
    meddle(world, { name }) {
      const [row] = world.tables.media
      if (name === 'file-linked' && row !== undefined) row.status = 'pending'
    },
    ends: ({ tables }) =>
      tables.media[0]?.status === 'pending' ? ['withdrawn', 'claimed', 'waiting'] : ['released'],
  },
  {
    name: 'a row whose key changes before it is recorded',
    begin: () => withOne(),
    meddle(world, { name }) {
      const [row] = world.tables.media
      if (name !== 'folder-synced' || row?.objectKey !== 'uploads/1.mp4') return
      row.objectKey = 'uploads/new.mp4'
      upload(world.bucket, row.objectKey, 'new bytes', Number(row.approvedAt))
    },
    ends: () => ['withdrawn', 'released'],
  },
  {
    name: 'an object that is replaced after it was archived',
    begin: () => withOne(),
    prepare: archiveFirst,
    meddle(world, { name }) {
      if (name === 'rehashed' && !isReplaced(world))
        upload(world.bucket, 'uploads/1.mp4', 'BYTES OF CLIP 1', world.clock.ms)
    },
    ends: ({ bucket }) => [isReplaced({ bucket }) ? 'source_differs' : 'released'],
  },
  {
    name: 'a source that goes at once',
    begin: () => withOne({ atOnce: true }),
    ends: released,
  },
  {
    name: 'a source that is to go at once, of bytes that the disk writes otherwise',
    begin: () => withOne({ atOnce: true }),
    meddle(world, operation) {
      if (operation.name !== 'write' || world.miswritten !== null) return
      world.miswritten = operation.path
      world.disk.miswriteNext(operation.path)
    },
    ends: released,
  },
  {
    name: 'a source that is to go at once, of a file that is another by then',
    begin: () => withOne({ atOnce: true }),
    async meddle(world, { name }) {
      if (name === 'release-claimed' && !world.damaged.has(path)) await spoil(world, path)
    },
    ends: released,
  },
  {
    name: 'bytes that the disk spoils during the grace',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      await spoil(world, path)
    },
    ends: released,
  },
  {
    name: 'bytes that the disk spoils during the grace, of a source that is gone',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      world.bucket.live.clear()
      await spoil(world, path)
    },
    ends: () => ['lost'],
  },
  {
    name: 'bytes that the disk spoils, and a scrub finds',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      await spoil(world, path)
      world.clock.ms += SCRUB_MS
    },
    ends: released,
  },
  {
    name: 'bytes that the disk spoils, and a scrub finds where links are refused',
    begin: () => withOne({ scrubs: true, linksRefused: true }),
    async prepare(world) {
      await archiveFirst(world)
      await spoil(world, path.replace('.mp4', '~1.1.mp4'))
      world.clock.ms += SCRUB_MS
    },
    ends: released,
  },
  {
    name: 'bytes that the disk spoils, and a scrub finds, of a source that is gone',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      world.bucket.live.clear()
      await spoil(world, path)
      world.clock.ms += SCRUB_MS
    },
    ends: () => ['lost'],
  },
  {
    name: 'a sidecar that the disk spoils, and a scrub finds',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      await spoil(world, `${path}.json`)
      world.clock.ms += SCRUB_MS
    },
    ends: released,
  },
  {
    name: 'a file that somebody removes, and a scrub misses',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      await moveAway(world, path, null)
      world.clock.ms += SCRUB_MS
    },
    ends: released,
  },
  {
    name: 'a file that a scrub misses and that lies in quarantine',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      world.bucket.live.clear()
      await moveAway(world, path, '.strongroom/quarantine/1.1/clip-1.mp4')
      world.clock.ms += SCRUB_MS
    },
    // Nobody synced that copy: a power cut that comes before the scrub may take the last one.
    ends: ({ disk }) =>
      [...disk.tree().values()].some(({ content }) => content.toString() === 'bytes of clip 1')
        ? ['released']
        : ['lost'],
  },
  {
    name: 'a file that was lost and that a person restores',
    begin: () => withOne({ scrubs: true }),
    async prepare(world) {
      await archiveFirst(world)
      world.bucket.live.clear()
      await moveAway(world, path, null)
      world.clock.ms += SCRUB_MS
      await archiveFirst(world)
      await plant(world, path, 'bytes of clip 1')
      world.clock.ms += SCRUB_MS
    },
    ends: released,
  },
  {
    name: 'a file that a person moved to another folder, of a source that is gone',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      world.bucket.live.clear()
      await moveByHand(world, path, 'sorted/film.mp4')
    },
    ends: released,
  },
  {
    name: 'a file that a person copied to another folder',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      await plant(world, 'sorted/film.mp4', 'bytes of clip 1')
      world.movedTo = 'sorted/film.mp4'
    },
    ends: released,
  },
  {
    name: 'a file that a person restores during the grace',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      restore(world, path)
    },
    ends: released,
  },
  {
    name: 'a sidecar that a person restores during the grace',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      restore(world, `${path}.json`)
    },
    ends: released,
  },
  {
    name: 'a sidecar that the disk spoils during the grace',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      await spoil(world, `${path}.json`)
    },
    ends: released,
  },
  {
    name: 'a bucket whose ETags say nothing',
    begin: () => withOne({ opaqueEtags: true }),
    ends: released,
  },
  {
    name: 'an object that is missing',
    begin() {
      const world = withOne()
      world.bucket.live.clear()
      return world
    },
    ends: () => ['missing'],
  },
  {
    name: 'an object that was replaced long after its approval',
    begin() {
      const world = withOne()
      world.clock.ms += 3_600_000
      upload(world.bucket, 'uploads/1.mp4', 'new bytes', world.clock.ms)
      return world
    },
    ends: () => ['held'],
  },
  {
    name: 'a row that is approved again unchanged',
    begin: () => withOne(),
    async prepare(world) {
      await archiveFirst(world)
      for (const row of world.tables.media) row.status = 'approved'
    },
    ends: released,
  },
  {
    name: 'an upload that is no media',
    begin() {
      const world = newWorld()
      upload(world.bucket, 'uploads/1.mp4', NOT_MEDIA, world.clock.ms)
      addMedia(world, 1)
      return world
    },
    ends: () => ['rejected'],
  },
]

export function scenarioNamed(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name)
  if (found === undefined) throw new Error(`there is no story "${name}"`)
  return found
}
