import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { renderSidecar } from '../src/sidecar.ts'
import { sidecarJsonSchema } from '../src/sidecar-schema.ts'
import { anySidecar } from './support/sidecars.ts'

const published = readFileSync(join(import.meta.dirname, '../docs/sidecar.schema.json'), 'utf8')
/** The published file read back as a stranger would, not the schema that it was made of. */
const schema = z.fromJSONSchema(JSON.parse(published))

test('docs/sidecar.schema.json says what a sidecar is (node src/sidecar-schema.ts writes it)', () => {
  assert.equal(published, sidecarJsonSchema())
})

test('every sidecar that is written fits the published schema', () => {
  fc.assert(
    fc.property(anySidecar, (facts) => {
      schema.parse(JSON.parse(renderSidecar(facts)))
    }),
  )
})

test('what lacks a key, or has one of another type, does not fit it', () => {
  const [facts] = fc.sample(anySidecar, 1)
  assert.ok(facts)
  const whole: Record<string, unknown> = JSON.parse(renderSidecar(facts))
  for (const key of Object.keys(whole)) {
    const { [key]: _, ...rest } = whole
    assert.equal(schema.safeParse(rest).success, false, `without ${key}`)
    assert.equal(schema.safeParse({ ...whole, [key]: [] }).success, false, `${key} as a list`)
  }
})

test('what a later program adds fits it', () => {
  const [facts] = fc.sample(anySidecar, 1)
  assert.ok(facts)
  schema.parse({ ...JSON.parse(renderSidecar(facts)), added_later: 1 })
})
