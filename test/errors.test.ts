import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { AppError, ERRORS, type ErrorCode } from '../src/errors.ts'

const execute = promisify(execFile)
const codes = Object.keys(ERRORS) as ErrorCode[]

describe('every error says what to do next', () => {
  for (const code of codes)
    test(`${code} has a next step of its own words, in plain English`, () => {
      const { next } = ERRORS[code]
      assert.match(next, /^[a-z"].*[^.]$/, 'a clause, to stand below the sentence')
      assert.ok(next.split(' ').length >= 3 && next.length <= 160, next)
      assert.doesNotMatch(next, /undefined|TODO|\bE[A-Z]{4,}\b/)
    })

  test('unless whoever throws it knows better', () => {
    assert.equal(new AppError('DISK_FULL', 'full').hint, ERRORS.DISK_FULL.next)
    assert.equal(new AppError('DISK_FULL', 'full', { hint: null }).hint, ERRORS.DISK_FULL.next)
    assert.equal(new AppError('DISK_FULL', 'full', { hint: 'buy one' }).hint, 'buy one')
  })

  test('and only commands and settings that exist are named', async () => {
    const root = join(import.meta.dirname, '..')
    const { stdout: help } = await execute(join(root, 'bin', 'strongroom'), ['--help'])
    const page = await readFile(join(root, 'docs', 'configuration.md'), 'utf8')
    for (const code of codes) {
      const { next } = ERRORS[code]
      for (const [, command] of next.matchAll(/"strongroom ([a-z][a-z-]*)/g))
        assert.ok(help.includes(`\n  ${command} `), `${code}: ${command}`)
      for (const [name] of next.matchAll(/\b[A-Z][A-Z0-9]*_[A-Z_]+\b/g))
        assert.ok(page.includes(`\`${name}\``), `${code}: ${name}`)
    }
  })
})
