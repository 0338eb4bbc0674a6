/**
 * Many damages of every kind, and many bytes that are flipped during the grace. A few of each by default;
 * STRONGROOM_TEST_DAMAGES and STRONGROOM_TEST_FLIPPED say how many, PROPERTY_SEED repeats a run.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { archivedFile, archivedFiles } from '../../src/db/archived.ts'
import { isAppError } from '../../src/errors.ts'
import { verify } from '../../src/sync/verify.ts'
import { damages, type Original, originalOf, restore, type Verdict } from '../support/damages.ts'
import { approveMedium, assertArchived, type Medium, statesOf } from '../support/media-rows.ts'
import { createRandom, type Random } from '../support/mutants.ts'
import type { Scope } from '../support/scopes.ts'
import { never, openWorker, type Site, type Worker, withSite } from '../support/worker.ts'

const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31)
const wantedDamages = Number(process.env.STRONGROOM_TEST_DAMAGES ?? 260)
const flipped = Number(process.env.STRONGROOM_TEST_FLIPPED ?? 26)
const files = Math.min(1_000, Math.max(40, Math.ceil(wantedDamages / 100)))

async function withArchived(t: Scope, count: number) {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { policy: { batchSize: 100 } })
  const media: Medium[] = []
  for (let n = 0; n < count; n++) media.push(await approveMedium(site, { kind: 'image' }))
  assert.equal((await worker.sync()).reports.archived, count)
  const paths = await Promise.all(media.map((medium) => assertArchived(site, medium)))
  return { site, worker, media, paths }
}

/** What a reading of the whole archive complains of. */
async function complaints({ database }: Site, { parts }: Worker): Promise<Map<string, string>> {
  let after = 0
  const found = new Map<string, string>()
  const reader = {
    ...parts,
    async next() {
      const page = await archivedFiles(database, { after, limit: 200, mediaId: null, share: 1 })
      after = page.at(-1)?.item ?? after
      return page
    },
    again: (item: number) => archivedFile(database, item),
    pace: async () => {},
  }
  for await (const { file, verdict } of verify(reader, never))
    if (verdict !== 'whole') found.set(file.archivePath, verdict)
  return found
}

test(`${wantedDamages} damages are found, each by its name, and nothing else is (PROPERTY_SEED=${seed})`, async (t) => {
  const { site, worker, paths } = await withArchived(t, files)
  const originals = new Map<string, Original>()
  for (const path of paths) originals.set(path, await originalOf(join(site.archiveDir, path)))
  const random = createRandom(seed)
  let done = 0
  let read = 0
  const kinds = new Map<string, number>()
  while (done < wantedDamages) {
    // Three fifths of all files in pairs; the others must raise no alarm.
    const shuffled = shuffle(paths, random)
    const planted = new Map<string, Verdict>()
    for (let at = 0; at + 1 < paths.length * 0.6 && done < wantedDamages; at += 2) {
      const pair = [shuffled[at] ?? '', shuffled[at + 1] ?? ''] as const
      const damage = damages[random(damages.length)] ?? assert.fail()
      const [one, other] = pair.map((path) => originals.get(path) ?? assert.fail(path))
      assert.ok(one && other)
      const verdicts = await damage.do(random, one, other)
      for (const [n, verdict] of verdicts.entries()) planted.set(pair[n] ?? '', verdict)
      kinds.set(damage.name, (kinds.get(damage.name) ?? 0) + 1)
      done += 1
    }
    assert.deepEqual(await complaints(site, worker), sortedLike(paths, planted))
    read += paths.length
    for (const path of planted.keys()) await restore(originals.get(path) ?? assert.fail(path))
  }
  assert.deepEqual(await complaints(site, worker), new Map())
  t.diagnostic(`${done} damages, ${read} readings: ${JSON.stringify(Object.fromEntries(kinds))}`)
})

function shuffle(paths: readonly string[], random: Random): string[] {
  const left = [...paths]
  return paths.flatMap(() => left.splice(random(left.length), 1))
}

function sortedLike(paths: readonly string[], planted: Map<string, Verdict>): Map<string, Verdict> {
  return new Map(
    paths.flatMap((path) => {
      const verdict = planted.get(path)
      return verdict === undefined ? [] : [[path, verdict]]
    }),
  )
}

test(`of ${flipped} sources whose copy has a flipped bit none is released (PROPERTY_SEED=${seed})`, async (t) => {
  const { site, worker, media, paths } = await withArchived(t, flipped)
  const random = createRandom(seed)
  const [flip] = damages
  for (const path of paths) {
    const file = await originalOf(join(site.archiveDir, path))
    await flip?.do(random, file, file)
  }
  const deleted: string[] = []
  site.fault = ({ method, key }) => {
    if (method === 'DELETE') deleted.push(key ?? '')
    return undefined
  }
  const total = { released: 0, healed: 0 }
  for (let passes = 0; total.healed < flipped; passes++) {
    assert.ok(passes <= flipped, 'each pass heals some')
    try {
      const { released, healed } = await worker.release()
      total.released += released
      total.healed += healed
    } catch (error) {
      // Each pass heals 20 before the brake stops it, and a person says that it may go on.
      if (!isAppError(error, 'MASS_CHANGE')) throw error
      total.healed += 20
      await site.archives.resumeRelease()
    }
  }
  assert.deepEqual([total, deleted], [{ released: 0, healed: flipped }, []])
  assert.deepEqual(await statesOf(site), { archived: flipped })
  assert.equal((await site.admin.list()).length, flipped)
  for (const medium of media) await assertArchived(site, medium)
})
