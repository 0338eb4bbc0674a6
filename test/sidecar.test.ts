import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { isAppError } from '../src/errors.ts'
import {
  adoptedFileOf,
  buildAdoptedSidecar,
  describedMedia,
  parseSidecar,
  renderSidecar,
  type Sidecar,
  sidecarPathOf,
  sourceOf,
} from '../src/sidecar.ts'
import { anySidecar } from './support/sidecars.ts'

function refuses(contents: string | Uint8Array): void {
  assert.throws(
    () => parseSidecar(contents),
    (error) => isAppError(error, 'SIDECAR_INVALID'),
  )
}

/** Renders any object the way sidecars are rendered, hash and all. */
function seal(value: object): string {
  return renderSidecar(value as Sidecar)
}

const [example] = fc.sample(anySidecar, { numRuns: 1, seed: 7 })
assert.ok(example)

test('a rendered sidecar parses to the same facts and renders to the same bytes', () => {
  fc.assert(
    fc.property(anySidecar, (facts) => {
      const rendered = renderSidecar(facts)
      assert.deepEqual(parseSidecar(rendered), facts)
      assert.deepEqual(parseSidecar(Buffer.from(rendered)), facts)
      assert.equal(renderSidecar(parseSidecar(rendered)), rendered)
    }),
  )
})

test('a single flipped byte anywhere in a sidecar is noticed', () => {
  fc.assert(
    fc.property(anySidecar, fc.nat(), fc.integer({ min: 1, max: 255 }), (facts, at, mask) => {
      const flipped = Buffer.from(renderSidecar(facts))
      const index = at % flipped.length
      flipped[index] = (flipped[index] ?? 0) ^ mask
      refuses(flipped)
      refuses(flipped.toString('utf8'))
    }),
    { numRuns: 500 },
  )
})

test('every bit of one sidecar is covered', () => {
  const whole = Buffer.from(renderSidecar(example))
  for (let index = 0; index < whole.length; index++) {
    const flipped = Buffer.from(whole)
    flipped[index] = (flipped[index] ?? 0) ^ (1 << (index % 8))
    refuses(flipped)
  }
})

test('a sidecar cut short at any byte is refused', () => {
  const whole = renderSidecar(example)
  for (let length = 0; length < whole.length; length++) refuses(whole.slice(0, length))
})

test('a sidecar has sorted keys, a hash of itself and a newline at its end', () => {
  const rendered = renderSidecar(example)
  const value: Record<string, unknown> = JSON.parse(rendered)
  assert.deepEqual(Object.keys(value), Object.keys(value).sort())
  assert.match(rendered, /\n\}\n$/)
  const { self_sha256: own, ...rest } = value
  assert.equal(own, createHash('sha256').update(JSON.stringify(rest)).digest('hex'))
})

test('the order in which facts were gathered does not change a sidecar', () => {
  const reversed = Object.fromEntries(Object.entries(example).reverse())
  assert.equal(seal(reversed), renderSidecar(example))
})

for (const [name, change] of [
  ['another schema version', { schema_version: 2 }],
  ['a media id of zero', { media_id: 0 }],
  ['a media id that is text', { media_id: '1' }],
  ['a media id beyond exact numbers', { media_id: 2 ** 53 }],
  ['a negative size', { bytes: -1 }],
  ['a fractional size', { bytes: 1.5 }],
  ['a short hash', { sha256: 'abc' }],
  ['an upper-case hash', { sha256: 'A'.repeat(64) }],
  ['no archive path', { archive_path: '' }],
  ['a local time', { filed_at: '2026-01-01T00:00:00+02:00' }],
  ['an unknown proof', { proof: { kind: 'hope', value: null } }],
] as const) {
  test(`a sidecar with ${name} is refused although its hash fits`, () => {
    refuses(seal({ ...example, ...change }))
  })
}

for (const key of Object.keys(example)) {
  test(`a sidecar without ${key} is refused although its hash fits`, () => {
    const rest = Object.fromEntries(Object.entries(example).filter(([name]) => name !== key))
    refuses(seal(rest))
  })
}

test('a key that a later program added is covered by the hash and otherwise ignored', () => {
  const extended = seal({ ...example, zz_added: { b: 1, a: [2] } })
  assert.deepEqual(parseSidecar(extended), example)
  refuses(extended.replace('"zz_added"', '"zz_addes"'))
})

test('text that is no JSON object is refused', () => {
  for (const contents of ['', 'null', '[]', '1', '"x"', '{', '{}', '\ufeff{}', 'x'.repeat(99)]) {
    refuses(contents)
  }
})

test('a file nested beyond all reason is refused, not a crash', () => {
  refuses(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)
})

test('a duplicated key is refused', () => {
  refuses(renderSidecar(example).replace('{\n', '{\n  "approved_at": "x",\n'))
})

test('the sidecar of a file lies beside it', () => {
  assert.equal(sidecarPathOf('2026/01/7/a.mp4'), '2026/01/7/a.mp4.json')
})

test('what is read out of the sidecar of an adopted file makes the same sidecar again', () => {
  const unknown = { bucket: null, etag: null, version_id: null, last_modified: null, bytes: null }
  fc.assert(
    fc.property(anySidecar, fc.boolean(), fc.boolean(), (facts, hasKey, isProbed) => {
      const adopted: Sidecar = {
        ...facts,
        source: hasKey && facts.source !== null ? { key: facts.source.key, ...unknown } : null,
        probe: isProbed ? facts.probe : null,
        proof: null,
        approved_at: hasKey ? facts.approved_at : null,
      }
      const media = describedMedia(adopted)
      const file = adoptedFileOf(adopted)
      const version = adopted.program_version
      assert.deepEqual(buildAdoptedSidecar({ media, file, version }), adopted)
      assert.equal(sourceOf(adopted), null)
    }),
  )
})

test('a source of which anything is not known that a release needs is none', () => {
  const source = {
    bucket: 'media',
    key: 'uploads/1.mp4',
    etag: 'e',
    version_id: null,
    last_modified: '2026-03-05T04:30:00.000Z',
    bytes: 7,
  }
  const whole: Sidecar = { ...example, source, proof: { kind: 'md5', value: null } }
  assert.deepEqual(sourceOf(whole), {
    bucket: 'media',
    key: 'uploads/1.mp4',
    etag: 'e',
    versionId: null,
    lastModified: new Date('2026-03-05T04:30:00.000Z'),
    sizeBytes: 7,
  })
  assert.equal(sourceOf({ ...whole, proof: null }), null)
  for (const name of ['bucket', 'etag', 'last_modified', 'bytes'])
    assert.equal(sourceOf({ ...whole, source: { ...source, [name]: null } }), null, name)
})
