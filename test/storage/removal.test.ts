import assert from 'node:assert/strict'
import {
  appendFile,
  link,
  mkdir,
  readdir,
  rename,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { lastWritten } from '../../src/storage/file-io.ts'
import { removeEmptyFolder, removeSeen, type SeenFile, seeFile } from '../../src/storage/removal.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

async function withFile(t: TestContext): Promise<{ root: string; seen: SeenFile }> {
  const root = await withFolder(t)
  await mkdir(join(root, 'in'))
  await writeFile(join(root, 'in/file'), 'contents')
  const seen = await seeFile(root, 'in/file')
  assert.ok(seen)
  return { root, seen }
}

test('a file that is as it was seen is removed, once', async (t) => {
  const { root, seen } = await withFile(t)
  assert.deepEqual([seen.sizeBytes, seen.links], [8, 1])
  assert.equal(await removeSeen(root, seen), 'removed')
  assert.deepEqual(await readdir(join(root, 'in')), [])
  assert.equal(await removeSeen(root, seen), 'gone')
  assert.equal(await seeFile(root, 'in/file'), null)
})

for (const [what, change] of [
  ['was written to', (path: string) => appendFile(path, '!')],
  ['got another name', (path: string) => link(path, `${path}.2`)],
  [
    'was replaced by one of the same size',
    async (path: string) => {
      await writeFile(`${path}.new`, 'CONTENTS')
      await rename(`${path}.new`, path)
    },
  ],
] as const)
  test(`a file that ${what} since it was seen stays`, async (t) => {
    const { root, seen } = await withFile(t)
    await change(join(root, 'in/file'))
    assert.equal(await removeSeen(root, seen), 'changed')
    assert.ok((await readdir(join(root, 'in'))).includes('file'))
  })

test('no symbolic link is followed, neither the file nor a folder on the way', async (t) => {
  const { root, seen } = await withFile(t)
  const outside = await withFolder(t)
  await writeFile(join(outside, 'file'), 'contents')
  await unlink(join(root, 'in/file'))
  await symlink(join(outside, 'file'), join(root, 'in/file'))
  await assert.rejects(removeSeen(root, seen), hasCode('PATH_UNSAFE'))
  await assert.rejects(seeFile(root, 'in/file'), hasCode('PATH_UNSAFE'))
  await rename(join(root, 'in'), join(root, 'was in'))
  await symlink(outside, join(root, 'in'))
  await assert.rejects(removeSeen(root, seen), hasCode('PATH_UNSAFE'))
  assert.equal(await removeEmptyFolder(root, 'in'), false)
  assert.deepEqual(await readdir(outside), ['file'])
})

test('a folder goes only when it is empty, and the root never', async (t) => {
  const { root, seen } = await withFile(t)
  assert.equal(await removeEmptyFolder(root, 'in'), false)
  await removeSeen(root, seen)
  assert.ok((await lastWritten(root, 'in')) !== null)
  assert.equal(await removeEmptyFolder(root, 'in'), true)
  assert.equal(await removeEmptyFolder(root, 'in'), false)
  assert.equal(await lastWritten(root, 'in'), null)
  for (const path of ['', '.']) assert.equal(await removeEmptyFolder(root, path), false)
  assert.deepEqual(await readdir(root), [])
})
