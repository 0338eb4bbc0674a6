import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adoptLegacy, type LegacyEntry } from '../../src/sync/adopt-legacy.ts'
import { order, partsOn } from '../support/adoption.ts'

test('a file that the disk does not give holds up no other', async () => {
  // The kernel gives no byte of it: EIO, as of a bad sector.
  const parts = await partsOn('/proc/self', { opening: true })
  const rowOf = (mediaId: number, pathText: string) => ({
    media: { ...order(pathText).media, mediaId },
    pathText,
    sha256: null,
    known: false,
  })
  const pages = [[rowOf(1, 'mem'), rowOf(2, 'gone.mp4')]]
  const told: LegacyEntry[] = []
  await adoptLegacy(
    {
      ...parts,
      rows: async () => pages.shift() ?? [],
      keep: () => assert.fail('nothing is adopted'),
      roots: [],
      sizeMismatch: 'warn',
      concurrency: 1,
      dryRun: false,
    },
    (entry) => told.push(entry),
    new AbortController().signal,
  )
  assert.deepEqual(
    told.map(({ path, outcome }) => [path, outcome]),
    [
      ['mem', 'refused'],
      ['gone.mp4', 'missing'],
    ],
  )
  assert.match(told[0]?.reason ?? '', /cannot read .*\/mem: .* \(EIO\)/)
})
