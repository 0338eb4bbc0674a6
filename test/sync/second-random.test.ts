import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { movableFiles, movedItems } from '../../src/db/second-files.ts'
import type { Fault } from '../../src/demo/bucket.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import { finishMove, moveFile } from '../../src/sync/move.ts'
import { type Point, secondPoints } from '../../src/sync/parts.ts'
import { type RecallParts, recallFile } from '../../src/sync/recall.ts'
import { approveMedium, type Medium } from '../support/media-rows.ts'
import { inBoth, type Second, withSecond } from '../support/second.ts'
import { expireLeases, never, openWorker, type Site, withSite } from '../support/worker.ts'
import { createRandom, type Random } from '../torture/random.ts'

const STEPS = Number(process.env.STRONGROOM_TEST_SECOND_STEPS ?? 60)
const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31)
const MEDIA = 3

interface World {
  site: Site
  random: Random
  media: Medium[]
  items: number[]
  /** Two processes, as far as database and files can tell. */
  workers: { second: Second; parts: RecallParts }[]
  /** How often each verb came to its end, to see that the stories are not all refusals. */
  done: Record<Act['verb'] | 'cut off', number>
}

async function withWorld(t: TestContext): Promise<World> {
  const site = await withSite(t)
  const random = createRandom(seed)
  const first = await openWorker(t, site)
  const media = [...Array(MEDIA).keys()].map(() => approveMedium(site))
  const approved = await Promise.all(media)
  await first.sync()
  await first.release()
  const one = await withSecond(t, site, first)
  const other = await openWorker(t, site)
  const two = await withSecond(t, site, other, one.demo)
  return {
    site,
    random,
    media: approved,
    done: { move: 0, finish: 0, recall: 0, 'cut off': 0 },
    items: (await one.movable()).map(({ item }) => item),
    workers: [
      { second: one, parts: { ...one.parts, space: first.parts.space } },
      { second: two, parts: { ...two.parts, space: other.parts.space } },
    ],
  }
}

/** What happens to one worker in the midst of its work. */
interface Fate {
  point: Point
  /** `die`: it gives nothing back; `sleep`: its lease runs out, and another one works on before it wakes. */
  what: 'die' | 'sleep' | 'live'
}

/** @returns once it is over, one way or another */
async function act(
  { site, done }: World,
  { parts, item, verb, fate }: Act & { parts: RecallParts; fate: Fate },
  whileAsleep: () => Promise<void>,
): Promise<void> {
  let isOver = false
  const reached = async (point: Point) => {
    if (isOver || point !== fate.point || fate.what === 'live') return
    isOver = true
    if (fate.what === 'die') throw new AppError('DB_UNAVAILABLE', `dead at ${point}`)
    await expireLeases(site)
    await whileAsleep()
  }
  const giveBack = async (...held: Parameters<typeof parts.second.giveBack>) =>
    fate.what === 'die' && isOver ? false : parts.second.giveBack(...held)
  const mine = { ...parts, reached, second: { ...parts.second, giveBack } }
  try {
    const movable = { after: null, limit: 100, ageMs: 0 }
    const file = (await movableFiles(site.database, movable)).find((one) => one.item === item)
    const [moved] = await movedItems(site.database, [item])
    const outcome =
      verb === 'move'
        ? file && (await moveFile(mine, file, never))
        : moved && (await (verb === 'finish' ? finishMove : recallFile)(mine, moved, never))
    if (outcome && 'bytes' in outcome) done[verb] += 1
  } catch (error) {
    if (!isAppError(error) || error.code === 'INTERNAL') throw error
    done['cut off'] += 1
  }
}

interface Act {
  item: number
  verb: 'move' | 'finish' | 'recall'
}

function choose({ random, items }: World): Act & { fate: Fate } {
  return {
    item: random.pick(items),
    verb: random.weighted({ move: 4, recall: 4, finish: 2 }),
    fate: {
      point: random.pick(secondPoints),
      what: random.weighted({ live: 3, die: 2, sleep: 4 }),
    },
  }
}

const faults: Fault[] = [
  { kind: 'lose-answer' },
  { kind: 'truncate', afterBytes: 30 },
  { kind: 'flip', atByte: 30 },
  { kind: 'answer', status: 403, code: 'AccessDenied' },
]

async function assertSafe(world: World, told: string): Promise<void> {
  for (const medium of world.media) {
    const at = await world.workers[0]?.second.seen(medium)
    const isSafe = at?.state === 'released' ? at.here : at?.state === 'moved' && at.there
    assert.ok(isSafe, `after ${told}: media ${medium.mediaId} ${JSON.stringify(at)}`)
  }
}

test(`${STEPS} moves and recalls, cut off and overtaken, leave each file in a verified place (PROPERTY_SEED=${seed})`, async (t) => {
  const world = await withWorld(t)
  const { site, random, workers } = world
  const [first, second] = workers
  assert.ok(first && second)
  for (let step = 0; step < STEPS; step++) {
    const [one, other] = [choose(world), choose(world)]
    const told = `step ${step}: ${JSON.stringify([one, other])}`
    let left = random.chance(0.3) ? 1 : 0
    const fault = random.pick(faults)
    first.second.fault = ({ operation }) => {
      if (left === 0 || operation === 'ListObjectsV2') return undefined
      left -= 1
      return fault
    }
    await act(world, { ...one, parts: first.parts }, async () => {
      left = 0
      await assertSafe(world, `${told}, asleep`)
      const fate = { ...other.fate, what: other.fate.what === 'sleep' ? 'live' : other.fate.what }
      const item = random.chance(0.8) ? one.item : other.item
      await act(world, { ...other, item, fate, parts: second.parts }, async () => {})
      await assertSafe(world, `${told}, overtaken`)
    })
    left = 0
    await assertSafe(world, told)
    await expireLeases(site)
  }
  t.diagnostic(JSON.stringify(world.done))
  assert.ok(world.done.move + world.done.recall > 0)
  for (const both of await inBoth(site)) await finishMove(first.parts, both, never)
  for (const moved of await movedItems(site.database, world.items))
    assert.ok('bytes' in (await recallFile(first.parts, moved, never)))
  for (const medium of world.media) {
    const at = await first.second.seen(medium)
    assert.deepEqual([at.state, at.here, at.damage], ['released', true, null])
  }
})
