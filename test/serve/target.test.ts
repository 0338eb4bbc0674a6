import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitTarget } from '../../src/serve/target.ts'

test('a query is read as browsers and backends read it', () => {
  const piece = fc.constantFrom(
    'token',
    '=',
    '&',
    '?',
    '%',
    '%74',
    '+',
    'a',
    'é',
    '.',
    'tokens',
    '/',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('')
      const { path, query } = splitTarget(`/a/b?${text}`)
      assert.equal(path, '/a/b')
      const expected = new URLSearchParams(text)
      for (const name of ['token', 'tokens', 'a'])
        assert.deepEqual(query.getAll(name), expected.getAll(name))
    }),
    { numRuns: 20_000 },
  )
})

test('the path of a target is what stands before its first question mark', () => {
  for (const [url, path] of [
    ['/a?b?c', '/a'],
    ['/a', '/a'],
    ['http://files.example/a?b', '/a'],
    ['HTTPS://files.example:8080?b', ''],
  ] as const)
    assert.equal(splitTarget(url).path, path)
})
