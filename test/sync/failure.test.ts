import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Held, Items, PutBack } from '../../src/db/items.ts'
import { AppError, ERRORS, type ErrorCode } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { assertMayTry, destination, MAX_ATTEMPTS, settleFailure } from '../../src/sync/failure.ts'
import { hasCode } from '../support/scopes.ts'
import { listeningLog } from '../support/worker.ts'

const tried = (attempts: number) => ({ attempts, media: { approvedAt: new Date(0) } })
const error = (code: ErrorCode, cause?: unknown) => new AppError(code, `it was ${code}`, { cause })

const fates: { fate: string; codes: ErrorCode[]; to: Partial<PutBack> }[] = [
  {
    fate: 'is given back untouched',
    codes: ['CANCELLED'],
    to: { state: 'waiting', error: null, delayMs: 0, burn: false },
  },
  {
    fate: 'waits for a person',
    codes: [
      'CHANGED_AFTER_APPROVAL',
      'SIZE_MISMATCH',
      'PATH_UNSAFE',
      'MEDIA_INVALID',
      'OBJECT_TOO_LARGE',
    ],
    to: { state: 'held' },
  },
  { fate: 'is missing and asked for again', codes: ['OBJECT_MISSING'], to: { state: 'missing' } },
  {
    fate: 'is tried again and loses an attempt',
    codes: ['TRANSFER_BROKEN', 'TRANSFER_CORRUPT', 'OBJECT_DENIED', 'PROBE_FAILED', 'INTERNAL'],
    to: { state: 'waiting', burn: true },
  },
  {
    fate: 'is tried again and loses an attempt, because the disk may be at fault or the file',
    codes: ['DISK_SICK'],
    to: { state: 'waiting', burn: true },
  },
  {
    fate: 'waits for the outage to end and loses nothing',
    codes: ['BUCKET_UNAVAILABLE', 'BUCKET_DENIED', 'DISK_FULL', 'VOLUME_MISSING', 'PROBE_MISSING'],
    to: { state: 'waiting', delayMs: 0, burn: false },
  },
]
for (const { fate, codes, to } of fates) {
  for (const code of codes) {
    test(`after ${code} an item ${fate}`, () => {
      const found = destination(tried(0), error(code))
      assert.deepEqual({ ...found, ...to }, found)
    })
  }
}

test('an attempt too many leaves the item to a person, with the last reason', () => {
  const last = destination(tried(MAX_ATTEMPTS - 1), error('TRANSFER_BROKEN'))
  assert.equal(last.state, 'held')
  assert.equal(last.error?.code, 'ATTEMPTS_EXHAUSTED')
  assert.match(last.error?.message ?? '', /8 attempts.*TRANSFER_BROKEN/)
  const before = destination(tried(MAX_ATTEMPTS - 2), error('TRANSFER_BROKEN'))
  assert.equal(before.state, 'waiting')
})

test('no number of outages or missing objects uses up the attempts', () => {
  for (const code of ['BUCKET_UNAVAILABLE', 'DISK_FULL', 'OBJECT_MISSING'] as const)
    assert.notEqual(destination(tried(1000), error(code)).state, 'held')
})

test('the wait doubles from half a minute, and no two items wait alike', () => {
  const wait = (attempts: number) => delayOf(destination(tried(attempts), error('TRANSFER_BROKEN')))
  for (const [attempts, base] of [
    [0, 30_000],
    [3, 240_000],
    [6, 1_920_000],
  ] as const) {
    const found = wait(attempts)
    assert.ok(found >= base * 0.8 && found <= base * 1.2, `${attempts}: ${found}`)
  }
  assert.ok(new Set(Array.from({ length: 20 }, () => wait(3))).size > 1)
})

test('the longer an object is missing, the less often it is asked for, up to every six hours', () => {
  const now = new Date('2026-05-01T00:00:00Z')
  for (const [ageMs, base] of [
    [-60_000, 30_000],
    [0, 30_000],
    [3_600_000, 360_000],
    [86_400_000, 8_640_000],
    [400 * 86_400_000, 21_600_000],
  ] as const) {
    const item = { attempts: 7, media: { approvedAt: new Date(now.getTime() - ageMs) } }
    const found = delayOf(destination(item, error('OBJECT_MISSING'), now))
    assert.ok(found >= base * 0.8 && found <= base * 1.2, `${ageMs}: ${found}`)
  }
})

test('waiting for an object burns no attempt', () => {
  const to = destination(tried(MAX_ATTEMPTS - 1), error('OBJECT_MISSING'))
  assert.deepEqual([to.state, 'burn' in to && to.burn], ['missing', false])
})

test('an item that ended its worker too often is not tried again', () => {
  assertMayTry({ attempts: MAX_ATTEMPTS - 1, lastError: null })
  assert.throws(
    () => assertMayTry({ attempts: MAX_ATTEMPTS, lastError: null }),
    hasCode('ATTEMPTS_EXHAUSTED'),
  )
  assert.throws(() => assertMayTry({ attempts: MAX_ATTEMPTS, lastError: 'no link' }), /no link/)
})

function delayOf(to: PutBack): number {
  return 'delayMs' in to ? to.delayMs : assert.fail('no wait')
}

test('a latched disk is an outage: it has the write error as its cause', () => {
  const latched = error('DISK_SICK', error('DISK_SICK'))
  const found = destination(tried(0), latched)
  assert.deepEqual([found.state, 'burn' in found && found.burn], ['waiting', false])
})

interface Told {
  putBack: [Held, PutBack][]
  yielded: number
}

/**
 * @param answers what the database says to `putBack`; throws when it is an error
 * @param bucketAnswers whether the bucket is well as a whole
 */
async function settle(thrown: unknown, answers: boolean | AppError = true, bucketAnswers = false) {
  const told: Told = { putBack: [], yielded: 0 }
  const items = {
    async putBack(item: Held, to: PutBack) {
      told.putBack.push([item, to])
      if (answers instanceof AppError) throw answers
      return answers
    },
    async yield() {
      told.yielded += 1
      return true
    },
  } as unknown as Items
  const latched: (AppError | null)[] = []
  const volume = {
    id: '',
    canLink: true,
    verify: async () => ({ device: 1 }),
    async noteWrite(failure: AppError | null) {
      latched.push(failure)
      if (latched.length === 2) throw error('DISK_SICK', failure)
    },
  }
  const bucket = {
    async check() {
      if (!bucketAnswers) throw error('BUCKET_UNAVAILABLE')
    },
  } as unknown as Bucket
  const parts = { items, volume, bucket, log: listeningLog().log }
  const item = {
    id: 1,
    epoch: 1,
    attempts: 0,
    media: { mediaId: 1, objectKey: 'k', approvedAt: new Date(0) },
  } as Item
  return { told, latched, parts, item, ...(await settleFailure(parts, item, thrown)) }
}

test('an outage stops the run, a failure of one item does not', async () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { outage } = await settle(error(code))
    const stops =
      ERRORS[code].retry === 'outage' && !['CANCELLED', 'DISK_SICK', 'LEASE_LOST'].includes(code)
    assert.equal(outage !== null, stops, code)
  }
})

test('a store that fails for one key holds that item up, and no attempt is burnt', async () => {
  const { told, outage, doubt, report } = await settle(error('BUCKET_UNAVAILABLE'), true, true)
  assert.equal(outage, null)
  assert.equal(doubt?.code, 'BUCKET_UNAVAILABLE')
  const to = told.putBack[0]?.[1]
  assert.deepEqual([to?.state, to && 'burn' in to && to.burn], ['waiting', false])
  assert.equal(to?.error?.code, 'OBJECT_UNAVAILABLE')
  assert.ok(to && delayOf(to) > 60_000)
  assert.match(report.reason ?? '', /fails for "k" although it answers otherwise/)
})

test('a lost lease is nobody’s failure: nothing is said to the database', async () => {
  const { told, report, outage } = await settle(error('LEASE_LOST'))
  assert.deepEqual(
    [told.putBack.length, told.yielded, report.outcome, outage],
    [0, 0, 'left', null],
  )
})

test('without a database nobody is told and the lease runs out', async () => {
  const { told, report, outage } = await settle(error('DB_UNKNOWN'))
  assert.deepEqual([told.putBack.length, report.outcome, outage?.code], [0, 'left', 'DB_UNKNOWN'])
})

test('what was being published is left to recovery with its reason', async () => {
  const { told, report } = await settle(error('TRANSFER_BROKEN'), false)
  assert.deepEqual([told.putBack.length, told.yielded, report.outcome], [1, 1, 'waiting'])
})

test('a database that cannot be told stops the run, and the first outage speaks', async () => {
  const away = error('DB_UNAVAILABLE')
  assert.equal((await settle(error('TRANSFER_BROKEN'), away)).outage?.code, 'DB_UNAVAILABLE')
  assert.equal((await settle(error('DISK_FULL'), away)).outage?.code, 'DISK_FULL')
})

test('an error that nobody translated is a bug, burns an attempt and is shown as such', async () => {
  const { told, report } = await settle(new TypeError('x is not a function'))
  assert.equal(told.putBack[0]?.[1].error?.code, 'INTERNAL')
  assert.match(report.reason ?? '', /internal error: x is not a function/)
})

test('the first write error is the item’s, the second in a row stops the run', async () => {
  const first = await settle(error('DISK_SICK'))
  assert.equal(first.outage, null)
  const second = await settleFailure(first.parts, first.item, error('DISK_SICK'))
  assert.equal(second.outage?.code, 'DISK_SICK')
  assert.equal(first.latched.length, 2)
})
