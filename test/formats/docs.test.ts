import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { formatsPage } from '../../src/formats/docs.ts'

test('docs/formats.md says which formats are accepted (node src/formats/docs.ts writes it)', () => {
  const path = join(import.meta.dirname, '../../docs/formats.md')
  assert.equal(readFileSync(path, 'utf8'), formatsPage())
})
