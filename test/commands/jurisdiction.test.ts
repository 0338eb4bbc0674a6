import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jurisdictionHint } from '../../src/commands/jurisdiction.ts'

const account = '0123456789abcdef0123456789abcdef'
const r2 = (part: string) => `https://${account}${part}.r2.cloudflarestorage.com`

test('at the plain endpoint those of the jurisdictions are named', () => {
  assert.equal(
    jurisdictionHint(r2('')),
    `if the bucket has a jurisdiction, set R2_ENDPOINT to ${r2('.eu')} or ${r2('.fedramp')}`,
  )
})

for (const part of ['.eu', '.fedramp'])
  test(`at the endpoint of ${part} the plain one is named`, () => {
    assert.equal(
      jurisdictionHint(r2(part)),
      `${part.slice(1)} is a jurisdiction; for a bucket without one set R2_ENDPOINT to ${r2('')}`,
    )
  })

test('an account id that is none is named', () => {
  assert.match(
    jurisdictionHint('https://ACCOUNT_ID.r2.cloudflarestorage.com') ?? '',
    /32 hexadecimal digits; it begins with "account_id"$/,
  )
})

test('other stores have no jurisdictions', () => {
  for (const endpoint of ['http://127.0.0.1:9000', 'https://s3.eu-central-1.amazonaws.com'])
    assert.equal(jurisdictionHint(endpoint), null)
})
