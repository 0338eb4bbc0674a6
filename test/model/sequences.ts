import fc from 'fast-check'
import { crashStates, finish, haltAt, judge, type Scenario } from './explore.ts'
import { spoil } from './scenarios.ts'
import { upload } from './sim-bucket.ts'
import { latestItem } from './sim-claims.ts'
import type { MediaRecord } from './sim-tables.ts'
import {
  addMedia,
  crashedWorld,
  GRACE_MS,
  LEASE_MS,
  NOT_MEDIA,
  newWorld,
  startWorker,
  type World,
} from './world.ts'

export type WorldOptions = NonNullable<Parameters<typeof newWorld>[0]>

export const worldOptions: fc.Arbitrary<WorldOptions> = fc.record({
  honoursIfMatch: fc.boolean(),
  opaqueEtags: fc.boolean(),
  linksRefused: fc.boolean(),
  scrubs: fc.boolean(),
})

/** One thing that happens; of a row, if there are any, the `row`-th, counted round and round. */
export type Command =
  | { do: 'approve'; isMedia: boolean; isNamesake: boolean }
  | { do: 'withdraw' | 'approve again' | 'replace' | 'replace unseen' | 'rot'; row: number }
  | { do: 'pass'; ms: number }
  | { do: 'flaw'; flaw: 'cut' | 'flip' }
  | { do: 'run' }
  /** A run that ends, or stands still, before one of its operations. */
  | { do: 'kill' | 'power cut' | 'sleep'; at: number; state: number }
  /** Whoever has slept longest goes on. */
  | { do: 'wake' }

const row = fc.nat(5)
const onRow = (...names: Extract<Command, { row: number }>['do'][]) =>
  fc.record({ do: fc.constantFrom(...names), row })

export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('approve' as const),
      isMedia: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
      isNamesake: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: onRow('withdraw', 'approve again', 'replace', 'replace unseen', 'rot') },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(1_000, LEASE_MS + 1_000, GRACE_MS + 1_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('flaw' as const),
      flaw: fc.constantFrom('cut' as const, 'flip' as const),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'run' } as const) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('kill' as const, 'power cut' as const, 'sleep' as const),
      at: fc.nat(90),
      state: fc.nat(63),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'wake' } as const) },
)

/** A process that stands still. */
interface Sleeper {
  sinceMs: number
  wake(): Promise<void>
}

interface Story {
  world: World
  sleepers: Sleeper[]
  /** How many processes there were. */
  processes: number
}

const ENDS = ['released', 'rejected', 'held', 'withdrawn', 'source_differs', 'lost', 'missing']

/**
 * Lets it all happen, then leaves the world alone until everything is done, and judges after each step.
 *
 * @returns what happened, for counting
 * @throws Violation
 */
export async function tell(options: WorldOptions, commands: readonly Command[]): Promise<string[]> {
  const story: Story = { world: newWorld(options), sleepers: [], processes: 0 }
  await startWorker(story.world, { owner: 'installer' })
  const told: string[] = []
  for (const one of commands) {
    const happened = await happen(story, one)
    told.push(happened)
    judge(story.world, `${told.length}: ${happened}`)
  }
  const { world } = story
  world.clock.ms += LEASE_MS + 1_000
  approveAnew(world)
  const worker = await startWorker(world, { owner: 'last' })
  await worker.cycle()
  // What waits for six hours after its third try, and what was found damaged, takes its time.
  for (let days = 0; days < 4; days += 1) {
    world.clock.ms += GRACE_MS + 1_000
    approveAnew(world)
    await worker.cycle()
  }
  const scenario: Scenario = { name: 'a story', begin: () => world, ends: () => ENDS }
  await finish(world, { scenario, where: 'the end of the story', worker })
  return told
}

/** A person looks at what is pending or held: as long as it is, what was archived under the same key keeps its source. */
function approveAnew({ tables, clock }: World): void {
  for (const media of tables.media) {
    const isHeld = latestItem(tables, media.id)?.state === 'held'
    if (media.status === 'pending' || (media.status === 'approved' && isHeld))
      Object.assign(media, { status: 'approved', approvedAt: clock.ms })
  }
}

/** @returns what came of it */
async function happen(story: Story, one: Command): Promise<string> {
  const { world } = story
  switch (one.do) {
    case 'approve':
      approve(world, one)
      return one.isMedia ? 'approve' : 'approve what is no media'
    case 'pass':
      world.clock.ms += one.ms
      return 'pass'
    case 'flaw':
      world.bucket.flaws.push(one.flaw)
      return one.flaw
    case 'run':
      await (await startWorker(world, { owner: nameOf(story) })).cycle()
      return 'run'
    case 'kill':
    case 'power cut':
    case 'sleep':
      return halt(story, one)
    case 'wake':
      return wake(story)
    default: {
      const { media } = world.tables
      const [chosen] = media.slice(one.row % Math.max(1, media.length))
      return chosen !== undefined && (await change(world, one.do, chosen)) ? one.do : 'nothing'
    }
  }
}

function approve(world: World, { isMedia, isNamesake }: Extract<Command, { do: 'approve' }>): void {
  const id = world.tables.media.length + 1
  if (!isMedia) upload(world.bucket, `uploads/${id}.mp4`, NOT_MEDIA, world.clock.ms)
  addMedia(world, id, isNamesake ? { filename: 'namesake.mp4' } : {})
}

/** @returns false when that cannot happen to this row */
async function change(
  world: World,
  how: Extract<Command, { row: number }>['do'],
  media: MediaRecord,
): Promise<boolean> {
  const { bucket, clock, tables } = world
  switch (how) {
    case 'withdraw':
      if (media.status !== 'approved') return false
      media.status = 'pending'
      return true
    case 'approve again':
      media.status = 'approved'
      media.approvedAt = clock.ms
      return true
    case 'replace':
    case 'replace unseen':
      // A worker may be between its last look and the DELETE: the documented window is two seconds long.
      clock.ms += 3_000
      upload(bucket, media.objectKey, `bytes ${bucket.uploaded.length}`, clock.ms)
      if (how === 'replace') Object.assign(media, { status: 'approved', approvedAt: clock.ms })
      return true
    case 'rot': {
      const item = tables.items.findLast(({ mediaId }) => mediaId === media.id)
      const path = item?.archivePath ?? ''
      // The last copy may rot too, but then there is nothing that anybody could promise.
      if (item?.state !== 'archived' || !world.disk.tree().has(path)) return false
      await spoil(world, path)
      return true
    }
  }
}

function nameOf(story: Story): string {
  story.processes += 1
  return `process ${story.processes}`
}

async function halt(
  story: Story,
  one: Extract<Command, { do: 'kill' | 'power cut' | 'sleep' }>,
): Promise<string> {
  const { world } = story
  const halted = haltAt(one.at)
  const life = live(world, nameOf(story), halted.gate)
  const reached = await Promise.race([halted.reached, life.then(() => null)])
  if (reached === null) return 'run'
  if (one.do === 'power cut') return cutPower(story, one.state)
  // With the request to delete in its hands it may still send it: another documented window.
  if (one.do === 'kill' || reached.name === 'delete') return 'kill'
  story.sleepers.push({
    sinceMs: world.clock.ms,
    async wake() {
      halted.resume()
      await life
    },
  })
  return 'sleep'
}

async function live(world: World, owner: string, gate: ReturnType<typeof haltAt>['gate']) {
  const worker = await startWorker(world, { owner, gate })
  await worker.cycle()
}

/** All that were at work are gone, and of what was not synced some is, too. */
function cutPower(story: Story, state: number): string {
  const states = crashStates(story.world, 64, state)
  const left = states[state % states.length]
  if (left !== undefined) story.world = crashedWorld(story.world, left)
  story.sleepers = []
  return 'power cut'
}

async function wake(story: Story): Promise<string> {
  const sleeper = story.sleepers.shift()
  if (sleeper === undefined) return 'nothing'
  const { world } = story
  const isLate = world.clock.ms - sleeper.sinceMs > LEASE_MS
  world.late ||= isLate
  await sleeper.wake()
  return isLate ? 'wake late' : 'wake'
}
