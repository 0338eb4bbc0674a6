import assert from 'node:assert/strict'
import { copyFile, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeDemoMedia } from '../../src/demo/media.ts'
import { validate } from '../../src/sync/validate.ts'
import { createProbe } from '../../src/tools/ffprobe.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

test('the demo has media of every kind that are what they claim, and one that is broken', async (t) => {
  const folder = await withFolder(t)
  const media = await makeDemoMedia(folder)
  assert.deepEqual(new Set(media.map(({ kind }) => kind)), new Set(['video', 'audio', 'image']))
  assert.deepEqual(
    media.filter(({ valid }) => !valid).map(({ name }) => name),
    ['broken upload.mp4'],
  )
  assert.deepEqual((await readdir(folder)).sort(), media.map(({ name }) => name).sort())

  const probe = createProbe({ path: 'ffprobe' })
  const absolutePath = join(await withFolder(t), 'item.part')
  for (const { name, path, kind, mimeType, valid } of media) {
    await copyFile(path, absolutePath)
    const { size: sizeBytes } = await stat(path)
    const verdict = await validate({ probe, absolutePath, kind, sizeBytes })
    assert.equal(verdict.valid, valid, name)
    if (verdict.valid) assert.equal(verdict.facts.mimeType, mimeType)
    assert.ok(sizeBytes > 10_000 && sizeBytes < 1_000_000, name)
  }

  const before = await Promise.all(media.map(async ({ path }) => (await stat(path)).mtimeMs))
  const again = await makeDemoMedia(folder, { ffmpegPath: '/usr/bin/ffmpeg' })
  assert.deepEqual(again, media)
  const later = await Promise.all(media.map(async ({ path }) => (await stat(path)).mtimeMs))
  assert.deepEqual(later, before, 'what is already there is kept')
  assert.ok((await readFile(join(folder, 'logo.png'))).subarray(1, 4).equals(Buffer.from('PNG')))
})

test('the demo says which package is missing when there is no ffmpeg', async (t) => {
  const folder = await withFolder(t)
  const making = makeDemoMedia(folder, { ffmpegPath: '/nonexistent/ffmpeg' })
  await assert.rejects(making, (error: { hint: string }) => {
    assert.match(error.hint, /apt install ffmpeg/)
    return hasCode('PROBE_MISSING', /cannot be run/)(error)
  })
  assert.deepEqual(await readdir(folder), [])
})
