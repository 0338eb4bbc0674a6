import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { checkBucketRules, checkSecondRules } from '../../src/commands/bucket-rules.ts'
import type { BucketConfig } from '../../src/config.ts'
import type { Fault } from '../../src/demo/bucket.ts'
import { postgresStore } from '../contract/items-stores.ts'
import { parse } from '../support/config.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { withBucket } from '../support/s3.ts'

const questions = ['lifecycle', 'object-lock', 'versioning'] as const
type Answers = Partial<
  Record<(typeof questions)[number], string | Extract<Fault, { kind: 'answer' }>>
>

/** A bucket that gives these answers, as XML or as a refusal, and those of the demo's bucket otherwise. */
async function bucketWith(t: TestContext, answers: Answers): Promise<BucketConfig> {
  const { config } = await withDemoBucket(t, {
    onRequest({ query }) {
      const asked = questions.find((question) => query.has(question))
      const answer = asked && answers[asked]
      if (typeof answer !== 'string') return answer
      return { kind: 'answer', status: 200, code: 'OK', text: answer }
    },
  })
  return config
}

function rulesXml(...rules: string[]): string {
  const each = rules.map((rule) => `<Rule><Status>Enabled</Status>${rule}</Rule>`).join('')
  return `<?xml version="1.0"?><LifecycleConfiguration>${each}</LifecycleConfiguration>`
}

const expiry = (id: string, prefix: string, days: number) =>
  `<ID>${id}</ID><Filter><Prefix>${prefix}</Prefix></Filter><Expiration><Days>${days}</Days></Expiration>`

const versioned = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
const locked = (days: number) =>
  `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>${days}</Days></DefaultRetention></Rule></ObjectLockConfiguration>`

/** What doctor says of a bucket, while a row is approved for three days under `uploads/`. */
async function said(
  t: TestContext,
  bucket: BucketConfig,
  { env = {}, migrated = true } = {},
): Promise<string[]> {
  const store = await postgresStore(t)
  await store.addMedia(1)
  await store.sql`
    update media set object_key = 'uploads/1.mp4', approved_at = now() - interval '3 days'`
  if (!migrated) await store.sql`drop schema strongroom cascade`
  const lines: string[] = []
  await checkBucketRules({ ...parse(env), bucket }, store.database, teller(lines))
  return lines
}

function teller(lines: string[]): Parameters<typeof checkSecondRules>[1] {
  return {
    ok: (what) => lines.push(`ok ${what}`),
    advise: (what) => lines.push(`note ${what}`),
    fail: (what) => lines.push(`FAIL ${what}`),
  }
}

test('a rule that deletes what is moved to the second bucket is a failure, whenever it does', async (t) => {
  const lifecycle = rulesXml(
    expiry('all', '', 3_650),
    expiry('some', 'archive/2020/', 90),
    expiry('logs', 'logs/', 1),
  )
  const second = { prefix: 'archive/', scrubPeriodMs: 0, links: null }
  const told = async (answers: Answers) => {
    const lines: string[] = []
    await checkSecondRules({ ...(await bucketWith(t, answers)), ...second }, teller(lines))
    return lines
  }
  assert.deepEqual(await told({ lifecycle }), [
    'FAIL in the second bucket, where the only copies lie, lifecycle rule "all" deletes objects after 3650 days',
    'FAIL in the second bucket, where the only copies lie, lifecycle rule "some" deletes objects under "archive/2020/" after 90 days',
  ])
  assert.deepEqual(await told({}), [
    'ok no lifecycle rule deletes what is moved to the second bucket',
  ])
  const denied: Answers = { lifecycle: { kind: 'answer', status: 403, code: 'AccessDenied' } }
  assert.deepEqual(await told(denied), [
    'note the second bucket does not tell its lifecycle rules: the access key may not read them',
  ])
})

test('a rule that deletes what is not archived yet is a failure, one that deletes later is not', async (t) => {
  const lifecycle = rulesXml(
    expiry('soon', '', 3),
    expiry('elsewhere', 'logs/', 1),
    expiry('uploads', 'uploads/', 2),
    expiry('late', '', 90),
    '<ID>parts</ID><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>',
  )
  assert.deepEqual(await said(t, await bucketWith(t, { lifecycle })), [
    'FAIL lifecycle rule "soon" deletes objects after 3 days; the oldest that is not archived was approved 3 days ago',
    'note lifecycle rule "elsewhere" deletes objects under "logs/" after 1 day; what is not archived by then is lost',
    'FAIL lifecycle rule "uploads" deletes objects under "uploads/" after 2 days; the oldest that is not archived was approved 3 days ago',
    'ok lifecycle rule "late" deletes objects after 90 days',
  ])
})

test('before the first sync all that is approved counts', async (t) => {
  const bucket = await bucketWith(t, { lifecycle: rulesXml(expiry('soon', '', 2)) })
  const [line] = await said(t, bucket, { migrated: false })
  assert.match(line ?? '', /^FAIL lifecycle rule "soon" .* approved 3 days ago$/)
})

test('a rule that is switched off, or only removes old versions, deletes nothing', async (t) => {
  const off = rulesXml(expiry('off', '', 1)).replace('Enabled', 'Disabled')
  assert.deepEqual(await said(t, await bucketWith(t, { lifecycle: off })), [
    'ok no lifecycle rule deletes objects',
  ])
  const old =
    '<ID>old</ID><Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>'
  const lifecycle = rulesXml(old)
  assert.deepEqual(await said(t, await bucketWith(t, { lifecycle, versioning: versioned })), [
    'ok no lifecycle rule deletes objects',
  ])
})

test('a bucket that keeps old versions, and one that locks for longer than the grace, are named', async (t) => {
  const bucket = await bucketWith(t, { versioning: versioned, 'object-lock': locked(7) })
  const hidden =
    'note the bucket keeps old versions: a deleted source is only hidden, and frees no space'
  assert.deepEqual(await said(t, bucket), [
    'ok no lifecycle rule deletes objects',
    'note objects are locked for 7 days, longer than RELEASE_GRACE',
    hidden,
  ])
  assert.deepEqual(await said(t, bucket, { env: { RELEASE_GRACE: '168h' } }), [
    'ok no lifecycle rule deletes objects',
    'ok objects are locked for 7 days, and released later than that',
    hidden,
  ])
})

test('a key without the right to ask, and a store without the question, are a note', async (t) => {
  for (const [status, code, why] of [
    [403, 'AccessDenied', 'the access key may not read them'],
    [501, 'NotImplemented', 'this store does not know the question'],
    [405, 'MethodNotAllowed', 'this store does not know the question'],
  ] as const) {
    const answer = { kind: 'answer', status, code } as const
    const answers = { lifecycle: answer, 'object-lock': answer, versioning: answer }
    assert.deepEqual(await said(t, await bucketWith(t, answers)), [
      `note the bucket does not tell its lifecycle rules: ${why}`,
    ])
  }
})

test('a real store that knows none of it fails nothing', async (t) => {
  const { config } = await withBucket(t)
  const lines = await said(t, config)
  assert.ok(
    lines.every((line) => !line.startsWith('FAIL')),
    lines.join('\n'),
  )
})
