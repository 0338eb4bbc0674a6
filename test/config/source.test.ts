import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { effectiveConfig } from '../../src/config/effective.ts'
import { settingGroups } from '../../src/config/settings.ts'
import { parseConfig } from '../../src/config.ts'
import { AppError } from '../../src/errors.ts'
import { complete, everything } from '../support/config.ts'

describe('whatever the environment holds', () => {
  const all = settingGroups.flatMap(([, group]) => Object.entries(group))
  const secretNames = all
    .filter(([, setting]) => setting.secret)
    .flatMap(([name, setting]) => [name, ...(setting.aliases ?? [])])
  const plainNames = all.filter(([, setting]) => !setting.secret).map(([name]) => name)
  const canary = fc.stringMatching(/^cAnArY[ -~]{6,30}$/)
  const junk = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.stringMatching(/^[0-9*/,\-LW# ?a-z]{0,24}$/),
    fc.constantFrom(
      '0',
      '-1',
      '1e9',
      '/',
      'true',
      '* * * * *',
      '{',
      '{{year}',
      '%',
      'https://',
      '//',
      '::',
      '\u0000',
    ),
  )
  const plain = fc.dictionary(
    fc
      .tuple(fc.constantFrom(...plainNames), fc.constantFrom('', '_FILE'))
      .map((parts) => parts.join('')),
    junk,
    { maxKeys: 12 },
  )
  const secretive = canary.chain((word) =>
    fc.record({
      word: fc.constant(word),
      env: fc.dictionary(
        fc
          .tuple(fc.constantFrom(...secretNames), fc.constantFrom('', '_FILE'))
          .map((parts) => parts.join('')),
        fc.constantFrom(
          word,
          `${word}\n${word}`,
          `"${word}" `,
          `postgres://user:${encodeURIComponent(word)}@host/db`,
          `postgres://user:${word}@host:port/db?sslmode=${word}`,
        ),
        { minKeys: 1 },
      ),
    }),
  )
  const readers = fc.constantFrom(
    (path: string): string => path,
    (): string => '',
    (path: string): string => {
      throw new Error(path)
    },
    (): string => {
      throw undefined
    },
  )

  test('no secret is ever shown and nothing but an AppError is thrown', () => {
    fc.assert(
      fc.property(plain, secretive, readers, fc.boolean(), (env, secret, readFile, whole) => {
        const mixed = { ...(whole ? complete : {}), ...env, ...secret.env }
        const shown = JSON.stringify(effectiveConfig(mixed, { readFile }))
        assert.ok(!shown.includes('cAnArY'), shown)
        try {
          const config = parseConfig(mixed, { needs: everything, readFile })
          assert.ok(!config.warnings.join().includes('cAnArY'))
        } catch (error) {
          assert.ok(error instanceof AppError, String(error))
          const told = [error.message, error.hint, error.stack, error.cause].join('\n')
          assert.ok(!told.includes('cAnArY'), told)
        }
      }),
      { numRuns: 1500 },
    )
  })
})
