import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withEnvFile } from '../../src/config/env-file.ts'
import { hasCode } from '../support/scopes.ts'

const read = (text: string, env = {}) => withEnvFile(env, '.env', () => text)

describe('a file of settings', () => {
  for (const value of [
    'p@ss w$rd',
    '*/10 * * * *',
    'a#b # c',
    `"quoted" and 'quoted'`,
    'back\\slash\\n',
    '`date` $(date) $HOME !!',
    'a=b==',
    '  blanks around  ',
    '',
  ])
    test(`gives ${JSON.stringify(value)} as it is`, () => {
      assert.deepEqual(read(`# a comment\n\n  # another\nNAME=${value}\nLAST=1`), {
        NAME: value,
        LAST: '1',
      })
    })

  test('may come from Windows', () => {
    assert.deepEqual(read('\uFEFFONE=1\r\n\r\nTWO=2 \r\n'), { ONE: '1', TWO: '2 ' })
  })

  test('adds to the environment, whose own values win unless they are empty', () => {
    const env = { ONE: 'env', TWO: '', FOUR: '4' }
    const file = 'ONE=file\nTWO=file\nTHREE=file'
    assert.deepEqual(read(file, env), { ONE: 'env', TWO: 'file', THREE: 'file', FOUR: '4' })
  })

  for (const line of ['hush', 'export HUSH=1', 'HUSH = hush', '=hush', 'HU SH=1', '1HUSH=1'])
    test(`is refused for the line "${line}", by its number and not by what it holds`, () => {
      assert.throws(
        () => read(`ONE=1\n${line}\n`),
        (error: Error) => {
          assert.doesNotMatch(error.message, /hush/i)
          return hasCode('CONFIG_INVALID', /^line 2 of \.env is not NAME=value$/)(error)
        },
      )
    })

  test('that is not there is named', () => {
    const missing = () => {
      throw Object.assign(new Error('no'), { code: 'ENOENT' })
    }
    assert.throws(
      () => withEnvFile({}, 'my.env', missing),
      hasCode('CONFIG_INVALID', /^--env-file my\.env cannot be read: there is no such file$/),
    )
  })
})
