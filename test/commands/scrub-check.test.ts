import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkScrub } from '../../src/commands/scrub-check.ts'
import { intentFor, postgresStore } from '../contract/items-stores.ts'

test('doctor says when the archive cannot be read again in time, or healing has stopped', async (t) => {
  const store = await postgresStore(t)
  const items = store.worker('a')
  await store.addMedia(1)
  for (const item of await items.claim(1, [])) {
    await items.commitIntent(item, intentFor(item, 'clip.mp4'))
    await items.record(item)
  }
  const advised = async (periodMs = 86_400_000) => {
    const said: [string, readonly string[]][] = []
    const report = {
      ok: () => {},
      advise: (text: string, steps: readonly string[]) => void said.push([text, steps]),
    }
    const scrub = { periodMs, bytesPerSecond: 20_000_000 }
    await checkScrub({ scrub }, store.database, report)
    return said
  }
  assert.deepEqual(await advised(), [])
  await store.sql`update strongroom.items set size_bytes = 17280000000000`
  assert.deepEqual(await advised(), [
    [
      'reading the archive again takes 10 days at SCRUB_RATE, and SCRUB_PERIOD is 1.0',
      ['set SCRUB_RATE to 250 or SCRUB_PERIOD to more'],
    ],
  ])
  assert.deepEqual(await advised(0), [])
  await store.archives.pauseHealing('21 of 23 files are not what was archived')
  const [[text] = ['']] = await advised(0)
  assert.match(text, /^healing has stopped since .*: 21 of 23 files/)
})
