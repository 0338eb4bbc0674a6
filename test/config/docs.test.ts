import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { configurationPage, envExample } from '../../src/config/docs.ts'
import { unraidTemplate } from '../../src/config/unraid.ts'
import { complete } from '../support/config.ts'

describe('the generated documents', () => {
  const root = join(import.meta.dirname, '../..')
  for (const [path, generate] of [
    ['docs/configuration.md', configurationPage],
    ['.env.example', envExample],
    ['deploy/unraid/strongroom.xml', unraidTemplate],
  ] as const) {
    test(`${path} says what the settings are (node src/config/docs.ts writes it)`, () => {
      assert.equal(readFileSync(join(root, path), 'utf8'), generate())
    })
  }

  test('.env.example sets nothing but names, so that a copy of it shows what is required', () => {
    const set = envExample()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    assert.deepEqual(
      set.toSorted(),
      Object.keys(complete)
        .filter((name) => name !== 'DB_PASSWORD')
        .map((name) => `${name}=`)
        .toSorted(),
    )
  })
})
