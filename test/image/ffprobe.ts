/** Claims about the small ffprobe that the image has; scripts/image-test runs them beside those of test/formats and test/tools. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { acceptedDemuxers } from '../../src/formats.ts'
import { mediaKinds } from '../../src/media.ts'
import { validate } from '../../src/sync/validate.ts'
import { mediaFile, mediaFileNames } from '../support/media-files.ts'
import { fullProbe, probe, smallProbe } from '../support/probe.ts'

const path = process.env.TEST_FFPROBE_SMALL ?? ''
const ask = (...args: string[]) => execFileSync(path, ['-hide_banner', ...args]).toString()

/** The names in a table of ffprobe: what stands in the second column of the lines below the dashes. */
function names(table: string): string[] {
  const [, rows = ''] = table.split(/^ *-+\n/m)
  return rows
    .trim()
    .split('\n')
    .flatMap((row) => row.trim().split(/\s+/)[1]?.split(',') ?? [])
}

describe('the small ffprobe', () => {
  test('reads files, and knows no other protocol', () => {
    const [, inputs = ''] = /Input:\n((?: {2}\w+\n)+)/.exec(ask('-protocols')) ?? []
    assert.deepEqual(inputs.trim().split(/\s+/), ['file'])
  })

  test('has the demuxers of the accepted formats and no other, above all none for playlists', () => {
    assert.deepEqual(names(ask('-demuxers')).toSorted(), acceptedDemuxers.toSorted())
  })

  test('is one file, without libraries', () => {
    const { stdout, stderr } = spawnSync('ldd', [path])
    assert.match(`${stdout}${stderr}`, /not a dynamic executable/)
  })

  test('is of the version of the full one', async () => {
    assert.ok(smallProbe)
    const versions = [await smallProbe.version(), await fullProbe.version()]
    const [small, full] = versions.map(({ version }) => version.split('-')[0])
    assert.equal(small, full)
  })

  for (const name of mediaFileNames)
    test(`says of ${name} what the full one says`, async () => {
      const absolutePath = await mediaFile(name)
      const { size: sizeBytes } = await stat(absolutePath)
      for (const kind of [null, ...mediaKinds]) {
        const file = { absolutePath, kind, sizeBytes }
        assert.deepEqual(
          await validate({ ...file, probe }),
          await validate({ ...file, probe: fullProbe }),
        )
      }
    })
})
