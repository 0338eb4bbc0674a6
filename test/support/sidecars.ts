import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { type Intent, type MediaRow, mediaKinds, proofKinds } from '../../src/media.ts'
import { buildSidecar } from '../../src/sidecar.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })
const bytes = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const instant = fc.date({
  min: new Date('1970-01-01T00:00:00Z'),
  max: new Date('9999-12-31T23:59:59Z'),
  noInvalidDate: true,
})
const number = orNull(fc.double({ min: 0, max: 1e9, noNaN: true }).map((value) => value + 0))
const sha256 = text.map((value) => createHash('sha256').update(value).digest('hex'))

const media: fc.Arbitrary<MediaRow> = fc.record({
  mediaId: id,
  userId: orNull(id),
  title: orNull(text),
  filename: orNull(text),
  contentType: orNull(fc.constantFrom(...mediaKinds)),
  mimeType: orNull(text),
  declaredBytes: orNull(bytes),
  objectKey: text,
  approvedAt: instant,
})

const intent: fc.Arbitrary<Intent> = fc.record({
  archivePath: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  sha256,
  source: fc.record({
    bucket: text,
    key: text,
    etag: text,
    versionId: orNull(text),
    lastModified: instant,
    sizeBytes: bytes,
  }),
  probe: fc.record({
    container: text,
    mimeType: text,
    kind: fc.constantFrom(...mediaKinds),
    durationSeconds: number,
    streams: fc.array(
      fc.record({
        type: fc.constantFrom('video', 'audio', 'subtitle', 'data', 'attachment'),
        codec: orNull(text),
        width: number,
        height: number,
        frameRate: number,
        channels: number,
        sampleRate: number,
        attachedPicture: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
  }),
  proof: fc.record({ kind: fc.constantFrom(...proofKinds), value: orNull(text) }),
  filedAt: instant,
})

/** Any sidecar that filing can write. */
export const anySidecar = fc.record({ media, intent, version: text }).map(buildSidecar)
