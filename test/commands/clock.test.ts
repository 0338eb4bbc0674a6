import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { bucketClock, type Clock, databaseClock, judgeClocks } from '../../src/commands/clock.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { withDatabase } from '../support/postgres.ts'

const minutes = (count: number) => count * 60_000
const database = (aheadMs: number): Clock => ({ of: 'database', aheadMs })
const bucket = (aheadMs: number): Clock => ({ of: 'bucket', aheadMs })

describe('a clock that is off', () => {
  for (const [clocks, says] of [
    [[database(900), bucket(-400)], null],
    [[database(minutes(1)), bucket(0)], null],
    [[], null],
    [[bucket(Number.NaN)], null],
    [
      [database(minutes(20)), bucket(minutes(20) + 400)],
      /^this machine’s clock is 20:00 behind the database’s and the bucket’s.*bucket refuses every request$/,
    ],
    [
      [database(-minutes(2)), bucket(-minutes(2))],
      /^this machine’s clock is 2:00 ahead of the database’s and the bucket’s.*links open files/,
    ],
    [
      [database(-minutes(3)), bucket(200)],
      /^the database’s clock is 3:00 behind this machine’s.*links open files/,
    ],
    [[database(0), bucket(minutes(16))], /^the bucket’s clock is 16:00 ahead of this machine’s/],
    [[bucket(minutes(2))], /^this machine’s clock is 2:00 behind the bucket’s/],
    [[database(minutes(5)), bucket(-minutes(5))], /^this machine’s clock is 5:00 behind the data/],
  ] as const)
    test(`is told in one line: ${JSON.stringify(clocks)} gives ${says}`, () => {
      const error = judgeClocks(clocks)
      if (says === null) return assert.equal(error, null)
      assert.match(error?.message ?? '', says)
      assert.equal(error?.code, 'CLOCK_OFF')
    })
})

/** Answers every request with a refusal of that date. */
async function withRefusals(t: TestContext, date: string | null): Promise<string> {
  const server = createServer((_request, response) => {
    response.sendDate = false
    if (date !== null) response.setHeader('Date', date)
    response.writeHead(403).end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.closeAllConnections())
  t.after(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('the bucket’s clock is read from any answer, a refusal too', async (t) => {
  const endpoint = await withRefusals(t, new Date(Date.now() + minutes(20)).toUTCString())
  const clock = await bucketClock(endpoint)
  assert.ok(Math.abs((clock?.aheadMs ?? 0) - minutes(20)) < 30_000, JSON.stringify(clock))
})

test('an answer without a date, and no answer, say nothing about the clock', async (t) => {
  const dateless = await bucketClock(await withRefusals(t, null))
  assert.equal(judgeClocks(dateless === null ? [] : [dateless]), null)
  assert.equal(await bucketClock('http://127.0.0.1:1'), null)
})

test('the database’s clock is that of its machine', async (t) => {
  const { config } = await withDatabase(t)
  const opened = openDatabase(config)
  t.after(() => opened.close())
  assert.equal(judgeClocks([await databaseClock(opened)]), null)
})
