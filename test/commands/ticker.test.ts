import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTicker } from '../../src/commands/ticker.ts'
import { listeningLog } from '../support/worker.ts'

test('a walk over the archive says how many, how much of it, and about how long it still takes', async () => {
  const clock = { ms: 0 }
  const drawn: string[] = []
  let redrawn = Promise.withResolvers<void>()
  const screen = {
    draw(lines: readonly string[]) {
      drawn.push(lines.join('\n'))
      redrawn.resolve()
    },
    write() {},
  }
  const { log } = listeningLog()
  const ticker = createTicker({ screen, log, what: 'sidecars', now: () => clock.ms })
  const line = async () => {
    redrawn = Promise.withResolvers()
    await redrawn.promise
    return drawn.at(-1)
  }
  // Its timer keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  try {
    assert.equal(await line(), '0 sidecars, 0% of the archive')
    clock.ms = 30_000
    ticker.settled(2_000, 0.25)
    assert.equal(await line(), '2000 sidecars, 25% of the archive, about 1:30 left')
    ticker.end()
    assert.equal(drawn.at(-1), '')
  } finally {
    clearInterval(alive)
  }
})
