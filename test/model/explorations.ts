import { type Explored, everyKill, everyPowerCut } from './explore.ts'
import { everyFault, faultNamed, withoutWaits } from './faults.ts'
import { scenarioNamed } from './scenarios.ts'
import { everyCrossing, everyStall, stallStories } from './stall.ts'

/** What is done to a worker at every moment of one story. */
export type Exploration =
  | { by: 'kill' | 'power cut' | 'stall' | 'pause'; story: string }
  | { by: 'crossing' | 'paused crossing'; story: string }
  | { by: 'fault'; fault: string; story: string }

/**
 * Looks for a broken promise as the tests of the model do, the same moments every time.
 *
 * @throws Violation
 */
export function explore(exploration: Exploration): Promise<Explored> {
  return withoutWaits(() => begin(exploration))
}

function begin(exploration: Exploration): Promise<Explored> {
  const { by, story } = exploration
  if (by === 'stall' || by === 'pause') return stall(story, by === 'pause')
  const scenario = scenarioNamed(story)
  if (by === 'crossing' || by === 'paused crossing')
    return everyCrossing(scenario, { paused: by === 'paused crossing', stride: 17 })
  if (by === 'fault') return everyFault(scenario, faultNamed(exploration.fault))
  const budget = { seed: 1, startup: story === 'one item' }
  return by === 'kill'
    ? everyKill(scenario, { ...budget, states: 2, recoveries: 1 })
    : everyPowerCut(scenario, { ...budget, states: 64, recoveries: 5 })
}

function stall(name: string, paused: boolean): Promise<Explored> {
  const story = stallStories.find((known) => known.name === name)
  if (story === undefined) throw new Error(`there is no story "${name}" of stalls`)
  const { scenario, ...options } = story
  return everyStall(scenario, { ...options, paused })
}
