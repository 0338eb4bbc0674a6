import assert from 'node:assert/strict'
import { appendFile, mkdir, readFile, rename, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pinFile, pinInside } from '../../src/storage/pinned-file.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'

async function withFile(t: Scope) {
  const folder = await withFolder(t)
  const path = join(folder, 'a.jpg')
  await writeFile(path, 'bytes')
  const file = await pinFile(path)
  t.after(() => file.close())
  return { folder, path, file }
}

test('a pinned file is read by a neutral name, and as it was, whatever takes its place', async (t) => {
  const { folder, path, file } = await withFile(t)
  assert.deepEqual([file.realPath, file.sizeBytes], [path, 5])
  assert.doesNotMatch(file.neutralPath, /jpg/)
  await rename(path, join(folder, 'b.jpg'))
  await writeFile(path, 'other')
  assert.equal(await readFile(file.neutralPath, 'utf8'), 'bytes')
  const chunks: Buffer[] = []
  for await (const chunk of file.chunks()) chunks.push(Buffer.from(chunk))
  assert.equal(Buffer.concat(chunks).toString(), 'bytes')
})

for (const [what, meddle] of [
  ['written to', (path: string) => appendFile(path, '!')],
  ['rewritten at the same length', (path: string) => writeFile(path, 'other')],
  ['moved away', (path: string) => rename(path, `${path}.old`)],
  ['touched', (path: string) => utimes(path, 1, 1)],
] as const) {
  test(`a file that was ${what} since it was pinned is not unchanged`, async (t) => {
    const { path, file } = await withFile(t)
    assert.equal(await file.isUnchanged(), true)
    await meddle(path)
    assert.equal(await file.isUnchanged(), false)
  })
}

test('a file that was replaced since it was pinned is not unchanged', async (t) => {
  const { folder, path, file } = await withFile(t)
  const { modifiedAt } = file
  await writeFile(join(folder, 'new'), 'bytes')
  await utimes(join(folder, 'new'), modifiedAt, modifiedAt)
  await rename(join(folder, 'new'), path)
  assert.equal(await file.isUnchanged(), false)
})

test('nothing but a regular file is pinned, and inside a folder nothing behind a link', async (t) => {
  const { folder, path } = await withFile(t)
  const inner = join(folder, 'inner')
  await mkdir(inner)
  await symlink(path, join(folder, 'link'))
  await symlink(folder, join(inner, 'up'))
  await assert.rejects(pinFile(join(folder, 'link')), hasCode('PATH_UNSAFE'))
  await assert.rejects(pinFile(inner), hasCode('PATH_UNSAFE'))
  await assert.rejects(pinFile(join(folder, 'none')), hasCode('FILE_MISSING'))
  await assert.rejects(pinInside(inner, 'up/a.jpg'), hasCode('PATH_UNSAFE', /leads to/))
  await (await pinInside(folder, 'a.jpg')).close()
})
