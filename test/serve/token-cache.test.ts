import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, isAppError } from '../../src/errors.ts'
import { createTokenCache } from '../../src/serve/token-cache.ts'

const start = new Date('2026-01-01T00:00:00Z')
const later = (seconds: number) => new Date(start.getTime() + seconds * 1000)

/** A judge who believes each token but `bad` for 60 seconds from the start, and counts how often it was asked. */
function countingJudge() {
  const asked: string[] = []
  return {
    asked,
    verify(token: string, now: Date) {
      asked.push(token)
      const expiresAt = later(60).getTime() / 1000
      if (token === 'bad' || now.getTime() / 1000 >= expiresAt)
        throw new AppError('TOKEN_INVALID', 'no')
      return { token, expiresAt }
    },
  }
}

test('a token that was verified is not verified again before it expires', () => {
  const judge = countingJudge()
  const verify = createTokenCache(judge.verify)
  for (const second of [0, 1, 30, 59.999]) {
    assert.equal(verify('good', later(second)).token, 'good')
  }
  assert.deepEqual(judge.asked, ['good'])
})

test('a token that was verified is refused from the moment it expires', () => {
  const judge = countingJudge()
  const verify = createTokenCache(judge.verify)
  verify('good', later(59))
  for (const second of [60, 61, 6000]) {
    assert.throws(() => verify('good', later(second)), isInvalid)
  }
})

test('a refusal is never remembered', () => {
  const judge = countingJudge()
  const verify = createTokenCache(judge.verify)
  for (const _ of [1, 2, 3]) assert.throws(() => verify('bad', start), isInvalid)
  assert.deepEqual(judge.asked, ['bad', 'bad', 'bad'])
})

test('a clock that was set back has every token judged again', () => {
  const judge = countingJudge()
  const verify = createTokenCache(judge.verify)
  verify('good', later(30))
  verify('good', later(10))
  verify('good', later(20))
  assert.deepEqual(judge.asked, ['good', 'good'])
})

test('however many tokens come, few are remembered, and those in use stay', () => {
  const judge = countingJudge()
  const verify = createTokenCache(judge.verify, { max: 10 })
  verify('first', start)
  for (let index = 0; index < 1000; index++) {
    verify(`token ${index}`, start)
    verify('in use', start)
  }
  verify('first', start)
  assert.equal(judge.asked.filter((token) => token === 'in use').length, 1)
  assert.equal(judge.asked.filter((token) => token === 'first').length, 2)
  let remembered = 0
  for (let index = 0; index < 1000; index++) {
    const before = judge.asked.length
    verify(`token ${index}`, start)
    if (judge.asked.length === before) remembered += 1
  }
  assert.ok(remembered <= 10, `${remembered}`)
})

function isInvalid(error: unknown): boolean {
  return isAppError(error, 'TOKEN_INVALID')
}
