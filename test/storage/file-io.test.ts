import assert from 'node:assert/strict'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { lastWritten } from '../../src/storage/file-io.ts'
import { withFolder } from '../support/scopes.ts'

test('a file tells when it was last written to, and one that is gone tells nothing', async (t) => {
  const folder = await withFolder(t)
  await writeFile(join(folder, 'file'), 'bytes')
  await utimes(join(folder, 'file'), 1, 2)
  assert.deepEqual(await lastWritten(folder, 'file'), new Date(2_000))
  assert.equal(await lastWritten(folder, 'none'), null)
})
