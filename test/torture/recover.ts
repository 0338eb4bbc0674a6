import type { Checker, Violation } from './checker.ts'
import type { Rig } from './points.ts'
import type { Fate } from './processes.ts'
import { approveAgain, type World } from './world.ts'

/** So many runs, with the waiting times between them over, are enough for anything. */
const RUNS = 12
const MACHINE_WORKS = ['claimed', 'publishing', 'waiting', 'withdrawing', 'releasing', 'missing']

/**
 * Faults have stopped: a person accepts the disk again, lets releases go on, has repaired what was called lost and approves
 * anew what was held, and the program runs until it says that there is nothing left to do.
 *
 * @returns how many runs it took; null when that never came
 */
export async function recover(rig: Rig): Promise<number | null> {
  const { world } = rig
  world.store.fault = () => null
  for (let runs = 1; runs <= RUNS; runs++) {
    await takeCare(rig)
    await world.passTime()
    const fate = await command(rig, ['sync', '--once', '--json'])
    if (fate.code === 0 && (await isDone(world))) return runs
  }
  return null
}

async function command({ nursery, world, fresh }: Rig, args: string[]): Promise<Fate> {
  const run = await nursery.start({ args, env: world.env, output: fresh('recovery.log') })
  return run.ended
}

async function takeCare(rig: Rig): Promise<void> {
  const { sql } = rig.world
  const [known] = await sql<{ sick: boolean; paused: boolean }[]>`
    select sick_at is not null as sick, release_paused_at is not null as paused
    from strongroom.archives`.catch(() => [])
  if (known?.sick) await command(rig, ['accept-volume'])
  if (known?.paused) await command(rig, ['release', 'resume'])
  await approveAgain(rig.world)
  // A store that denied what it has, while the copy was damaged: the source was kept for that.
  const [lost] = await sql`select from strongroom.items where state = 'lost' limit 1`.catch(
    () => [],
  )
  if (lost) await command(rig, ['verify', '--repair', '--confirm'])
  await sql`
    update media m set approved_at = clock_timestamp() from strongroom.items i
    where i.media_id = m.id and m.status = 'approved' and i.state = 'held'
      and i.generation = (select max(generation) from strongroom.items where media_id = m.id)`.catch(
    () => [], // killed before there was a schema
  )
}

async function isDone({ sql }: World): Promise<boolean> {
  const [left] = await sql<{ count: number }[]>`
    select count(*) from strongroom.items
    where state = any(${`{${MACHINE_WORKS.join()}}`}::text[])
      or (state = 'archived' and release_due <= clock_timestamp())`
  return left?.count === 0
}

/** Asks the checker; what it finds in the bucket's listing it must find in a second one, too: listings may lag behind. */
export async function judged(
  checker: Checker,
  moment: 'instant' | 'settled',
  { evidence }: World,
): Promise<Violation[]> {
  await evidence.list()
  const found = await checker.judge(moment, evidence.folder)
  if (found.length === 0) return found
  await evidence.list('again')
  return checker.judge(moment, evidence.folder)
}
