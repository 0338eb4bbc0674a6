/**
 * Stories that nobody thought of: backend, users, disk and clock do what they like between runs that are killed, cut off or
 * put to sleep, in any order. What breaks a promise is shrunk to the shortest story that still does.
 */
import { test } from 'node:test'
import fc from 'fast-check'
import { withoutWaits } from './faults.ts'
import { seed } from './seed.ts'
import { type Command, command, tell, type WorldOptions, worldOptions } from './sequences.ts'

/** STRONGROOM_TEST_SEQUENCES tells more of them, MODEL_SEED other ones. */
const SEQUENCES = Number(process.env.STRONGROOM_TEST_SEQUENCES ?? 2_000)

test(`${SEQUENCES} stories of random commands break no promise (MODEL_SEED=${seed})`, async (t) => {
  const told = new Map<string, number>()
  const story = fc.asyncProperty(
    worldOptions,
    fc.array(command, { minLength: 2, maxLength: 14, size: 'max' }),
    async (options: WorldOptions, commands: Command[]) => {
      for (const what of await tell(options, commands)) told.set(what, (told.get(what) ?? 0) + 1)
    },
  )
  await withoutWaits(() => fc.assert(story, { numRuns: SEQUENCES, seed }))
  t.diagnostic(JSON.stringify(Object.fromEntries(told)))
})
