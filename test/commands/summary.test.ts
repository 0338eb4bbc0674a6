import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunSummary } from '../../src/commands/run.ts'
import { recoveryText, summaryText } from '../../src/commands/summary.ts'

const nothing: RunSummary = {
  reconciled: null,
  items: { archived: 0, rejected: 0, withdrawn: 0, held: 0, missing: 0, waiting: 0, left: 0 },
  bytes: 0,
  released: null,
  unfinished: null,
  releasesPaused: null,
  stoppedBy: null,
  durationMs: 40,
}
const recovered = {
  recorded: 0,
  restarted: 0,
  withdrawn: 0,
  reapproved: 0,
  temporariesRemoved: 0,
  failed: 0,
}

describe('the summary of a run', () => {
  test('says in plain words what happened, and nothing of what did not', () => {
    assert.equal(summaryText(nothing), '0 archived (0 bytes), 0.0 s')
    const released = { released: 1, kept: 1, source_differs: 0, healed: 0, lost: 0, stale: 0 }
    const text = summaryText({
      ...nothing,
      items: { ...nothing.items, archived: 3, held: 1, waiting: 2 },
      bytes: 12,
      released,
      reconciled: { ...recovered, recorded: 2, temporariesRemoved: 1 },
      durationMs: 1_234,
    })
    assert.equal(
      text,
      '3 archived (12 bytes), 1 held for a person, 2 to be tried again, 1 source deleted, 1 source kept for now, recovery: 2 finished files recorded, recovery: 1 temporary file removed, 1.2 s',
    )
  })

  test('ends with a line for each thing to know', () => {
    const text = summaryText({
      ...nothing,
      unfinished: {
        leased: { items: 1, longestMs: 300 },
        later: { items: 2, soonestMs: 61_500 },
      },
      releasesPaused: { at: new Date(0), reason: null },
      stoppedBy: { code: 'X', message: 'the disk is full', hint: 'make room' },
    })
    assert.deepEqual(text.split('\n').slice(1), [
      '1 item is in another run’s hands, or its lease is not over yet: try again in 1 s',
      '2 items to be tried again, the first in 62 s',
      'releases are paused since 1970-01-01T00:00:00.000Z; "strongroom release resume" goes on',
      'stopped early: the disk is full',
      '  make room',
    ])
  })
})

test('a recovery says what it did, or that there was nothing to do', () => {
  assert.equal(recoveryText(recovered), 'there was nothing to finish or undo')
  assert.equal(
    recoveryText({ ...recovered, restarted: 2, failed: 1 }),
    '2 unfinished files to be fetched again, 1 item to be tried again',
  )
})
