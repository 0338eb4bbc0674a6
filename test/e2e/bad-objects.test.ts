import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import {
  approveMedium,
  assertArchived,
  assertKept,
  itemOf,
  mediaRows,
  sha256Of,
  sourceOf,
} from '../support/media-rows.ts'
import { type Service, story, summaryOf, withService } from '../support/service.ts'

const once = ['sync', '--once', '--json']
const tenMinutesAgo = () => new Date(Date.now() - 600_000)

describe('what is wrong with an object is told and costs nothing', { concurrency: 2 }, () => {
  test('a missing object waits as missing, ends the run with 75, and is archived once it is there', async (t) => {
    const service = await withService(t)
    const absent = await approveMedium(service, { uploaded: false })
    const other = await approveMedium(service)
    const before = await mediaRows(service)
    const ended = await service.run(once)
    assert.equal(ended.code, 75, story(ended))
    assert.equal(summaryOf(ended).items.missing, 1)
    assert.match(ended.stderr, new RegExp(`has no object \\\\"${absent.key}\\\\"`))
    assert.match(ended.stderr, /upload it again, or close the media row/)
    assert.equal((await itemOf(service, absent.mediaId)).state, 'missing')
    const soon = await service.run(['sync', '--once'])
    assert.equal(soon.code, 75, 'a run before its time is not called finished either')
    assert.match(soon.stdout, /^1 item to be tried again, the first in \d+ s$/m)
    assert.deepEqual((await mediaRows(service))[0], before[0], 'its row is untouched')
    await assertArchived(service, other)

    await service.admin.put(absent.key, absent.bytes)
    await service.expireLeases()
    assert.equal((await service.run(once)).code, 0)
    await assertArchived(service, absent)
  })

  test('bytes that were swapped after the approval are held until somebody approves them', async (t) => {
    const service = await withService(t)
    const swapped = await approveMedium(service, { approvedAt: tenMinutesAgo() })
    const ended = await service.run(once)
    assert.equal(ended.code, 75, story(ended))
    assert.equal(summaryOf(ended).items.held, 1)
    assert.match(ended.stderr, /approve it again; set CHANGED_AFTER_APPROVAL=accept/)
    const { state, error_code: code } = await itemOf(service, swapped.mediaId)
    assert.deepEqual([state, code], ['held', 'CHANGED_AFTER_APPROVAL'])
    await assertKept(service, swapped)

    await service.sql`update media set approved_at = now() where id = ${swapped.mediaId}`
    assert.equal((await service.run(once)).code, 0)
    await assertArchived(service, swapped)
  })

  test('CHANGED_AFTER_APPROVAL=accept archives what was uploaded after its approval', async (t) => {
    const service = await withService(t, { env: { CHANGED_AFTER_APPROVAL: 'accept' } })
    const late = await approveMedium(service, { approvedAt: tenMinutesAgo() })
    const ended = await service.run(once)
    assert.equal(ended.code, 0, story(ended))
    await assertArchived(service, late)
  })

  test('another size than the row says is a warning, with SIZE_MISMATCH=reject it is held', async (t) => {
    const service = await withService(t)
    const wrong = await approveMedium(service, { fileSize: 4711 })
    const held = await service.run(once, { SIZE_MISMATCH: 'reject' })
    assert.equal(held.code, 75, story(held))
    assert.match(held.stderr, /the media row says 4711 bytes, the object has \d+/)
    assert.match(held.stderr, /correct file_size or upload the right object/)
    const { state, error_code: code } = await itemOf(service, wrong.mediaId)
    assert.deepEqual([state, code], ['held', 'SIZE_MISMATCH'])
    await assertKept(service, wrong)

    const tolerated = await approveMedium(service, { fileSize: 4711 })
    const warned = await service.run(once, { SIZE_MISMATCH: 'warn' })
    assert.equal(warned.code, 0, story(warned))
    assert.match(warned.stderr, /disagree about the size/)
    await assertArchived(service, tolerated)
    await assertKept(service, wrong)
  })

  test('an empty object is rejected with a report, and its source stays', async (t) => {
    const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
    const empty = await approveMedium(service, { bytes: Buffer.alloc(0) })
    const text = await approveMedium(service, { bytes: Buffer.from('<html>no picture</html>') })
    const ended = await service.run(once)
    assert.equal(ended.code, 0, story(ended))
    assert.equal(summaryOf(ended).items.rejected, 2)
    for (const { medium, reason } of [
      { medium: empty, reason: /the file is empty/ },
      { medium: text, reason: /not readable as media/ },
    ]) {
      const item = await itemOf(service, medium.mediaId)
      assert.equal(item.state, 'rejected')
      assert.match(item.error_message ?? '', reason)
      await assertKept(service, medium)
      await assertReported(service, medium.mediaId, { bytes: medium.bytes, reason })
    }
    const idle = await service.run(once)
    assert.equal(summaryOf(idle).items.rejected, 0, 'a verdict is given once')
  })
})

/** Beside the rejected copy lies a report that says why. */
async function assertReported(
  { errorDir }: Service,
  mediaId: number,
  { bytes, reason }: { bytes: Buffer; reason: RegExp },
): Promise<void> {
  const mine = (await readdir(errorDir)).filter((name) => name.startsWith(`${mediaId}-`))
  const [copy = '', report = ''] = mine.sort()
  assert.equal(mine.length, 2, mine.join())
  assert.equal(report, `${copy}.report.json`)
  assert.deepEqual(await readFile(join(errorDir, copy)), bytes)
  const said = JSON.parse(await readFile(join(errorDir, report), 'utf8')) as { reason: string }
  assert.match(said.reason, reason)
}

/** A service whose bucket spoils downloads of one key while `spoil` says so. */
async function withFaults(t: TestContext, spoil: (download: number) => Fault | undefined) {
  let downloads = 0
  const onRequest = ({ operation, key }: SeenRequest) => {
    if (operation !== 'GetObject' || key !== 'uploads/spoilt.png') return undefined
    downloads += 1
    return spoil(downloads)
  }
  const { config, admin } = await withDemoBucket(t, { onRequest })
  const env = { RELEASE_GRACE: '0', SYNC_CONCURRENCY: '1' }
  const service = await withService(t, { bucket: { config, admin }, env })
  const bytes = uniqueMedia('image', 77, 100_000)
  const medium = await approveMedium(service, { key: 'uploads/spoilt.png', bytes })
  return { service, medium, downloads: () => downloads }
}

const torn: { name: string; fault: Fault; code: string }[] = [
  {
    name: 'a truncated body',
    fault: { kind: 'truncate', afterBytes: 20_000 },
    code: 'TRANSFER_BROKEN',
  },
  {
    name: 'a reset connection',
    fault: { kind: 'reset', afterBytes: 20_000 },
    code: 'TRANSFER_BROKEN',
  },
  { name: 'one flipped bit', fault: { kind: 'flip', atByte: 54_321 }, code: 'TRANSFER_CORRUPT' },
]

describe('what is spoilt on the way is never archived', { concurrency: 2 }, () => {
  for (const { name, fault } of torn.slice(0, 2)) {
    test(`${name} is made up for in the same run`, async (t) => {
      const { service, medium } = await withFaults(t, (nth) => (nth === 1 ? fault : undefined))
      const ended = await service.run(once)
      assert.equal(ended.code, 0, story(ended))
      assert.match(ended.stderr, /the transfer broke off and goes on from there/)
      await assertArchived(service, medium)
      assert.equal(await sourceOf(service, medium.key), null, 'only now is the source gone')
    })
  }

  for (const { name, fault, code } of torn) {
    test(`${name} every time leaves the item waiting and the source alone; later it is archived`, async (t) => {
      let spoiling = true
      const { service, medium } = await withFaults(t, () => (spoiling ? fault : undefined))
      const good = await approveMedium(service)
      const before = await mediaRows(service)
      const ended = await service.run(once)
      spoiling = false
      assert.equal(ended.code, 75, story(ended))
      const item = await itemOf(service, medium.mediaId)
      assert.deepEqual([item.state, item.error_code, item.attempts], ['waiting', code, 1])
      assert.deepEqual((await mediaRows(service))[0], before[0])
      await assertKept(service, medium)
      await assertArchived(service, good)
      const temporaries = join(service.archiveDir, '.strongroom/tmp')
      const left = await readdir(temporaries)
      if (code === 'TRANSFER_CORRUPT') assert.deepEqual(left, [])
      else assert.ok(left.length <= 1, 'the bytes that came serve the next run')

      await service.expireLeases()
      assert.equal((await service.run(once)).code, 0)
      await assertArchived(service, medium)
      assert.deepEqual(await readdir(temporaries), [])
    })
  }

  test('a bit that flips in memory of the store itself, digest and all, is archived as the store has it', async (t) => {
    const { service, medium, downloads } = await withFaults(t, () => undefined)
    const changed = Buffer.from(medium.bytes)
    changed[60_000] = (changed[60_000] ?? 0) ^ 1
    await service.admin.put(medium.key, changed)
    assert.equal((await service.run(once)).code, 0)
    await assertArchived(service, { ...medium, bytes: changed })
    assert.notEqual(sha256Of(changed), sha256Of(medium.bytes))
    assert.equal(downloads(), 1)
  })
})
