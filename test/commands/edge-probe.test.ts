import assert from 'node:assert/strict'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createEdgeProbe, sweepProbes } from '../../src/commands/edge-probe.ts'
import { adoptInPlace } from '../../src/sync/adopt.ts'
import { film, order, withArchive } from '../support/adoption.ts'

const HOUR_MS = 3_600_000
const inAnHour = () => new Date(Date.now() + HOUR_MS)

test('what a killed examination left goes, but not while it may be at work', async (t) => {
  const { root, parts } = await withArchive(t)
  const whole = createEdgeProbe(parts)
  await whole.place()
  const half = createEdgeProbe(parts)
  await half.place()
  await unlink(join(root, half.archivePath))
  const before = await readdir(root)
  await sweepProbes(parts, new Date())
  assert.deepEqual(await readdir(root), before)
  await sweepProbes(parts, inAnHour())
  assert.deepEqual(await readdir(root), ['.strongroom'])
})

test('no file that somebody archived is taken for one of an examination, whatever its name', async (t) => {
  const { root, parts, put } = await withArchive(t)
  await put('strongroom-doctor-0123456789abcdef.mp4', film)
  await adoptInPlace(parts, order('strongroom-doctor-0123456789abcdef.mp4'))
  await put('strongroom-doctor-0000000000000000.mp4', film)
  const before = await readdir(root)
  await sweepProbes(parts, inAnHour())
  assert.deepEqual(await readdir(root), before)
})
