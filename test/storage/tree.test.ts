import assert from 'node:assert/strict'
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { openListed, type WalkedFolder, walkTree } from '../../src/storage/tree.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'
import { never } from '../support/worker.ts'

async function withTree(t: Scope, paths: readonly string[]): Promise<string> {
  const root = await withFolder(t)
  for (const path of paths) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), path)
  }
  return root
}

async function walked(
  root: string,
  options: { start?: string; skip?: string[]; signal?: AbortSignal } = {},
): Promise<WalkedFolder[]> {
  const folders: WalkedFolder[] = []
  for await (const folder of walkTree(root, { start: '', signal: never, ...options }))
    folders.push(folder)
  return folders
}

describe('a walk over a tree', () => {
  test('names every file once, in order, and follows no link', async (t) => {
    const root = await withTree(t, ['b/2', 'b/1', 'a/x/deep', 'a/0', 'top', '.own/tmp/1'])
    await symlink(join(root, 'a'), join(root, 'link'))
    const folders = await walked(root, { skip: ['.own'] })
    assert.deepEqual(
      folders.map(({ path, files, others }) => ({ path, files, others })),
      [
        { path: '', files: ['top'], others: ['link'] },
        { path: 'a', files: ['0'], others: [] },
        { path: 'a/x', files: ['deep'], others: [] },
        { path: 'b', files: ['1', '2'], others: [] },
      ],
    )
    const part = await walked(root, { start: 'a' })
    assert.deepEqual(
      part.map(({ path }) => path),
      ['a', 'a/x'],
    )
    assert.deepEqual((await walked(root, { start: 'no/such' }))[0]?.files, [])
  })

  test('knows how far it is, and never goes back', async (t) => {
    const paths = Array.from({ length: 60 }, (_, n) => `${n % 3}/${n % 7}/${n}/file`)
    const shares = (await walked(await withTree(t, paths))).map(({ done }) => done)
    assert.deepEqual(
      shares,
      [...shares].sort((one, other) => one - other),
    )
    assert.ok(shares.every((share) => share >= 0 && share < 1))
    assert.ok((shares.at(-1) ?? 0) > 0.9)
  })

  test('goes on where a folder is renamed meanwhile, and ends when it is told to', async (t) => {
    const root = await withTree(t, ['a/1', 'b/1', 'c/1'])
    const seen: string[] = []
    for await (const { path } of walkTree(root, { start: '', signal: never })) {
      if (path === 'a') await rename(join(root, 'b'), join(root, 'd'))
      seen.push(path)
    }
    assert.deepEqual(seen, ['', 'a', 'b', 'c'])
    const signal = AbortSignal.abort(new Error('enough'))
    await assert.rejects(walked(root, { signal }), /enough/)
  })

  test('names what is no UTF-8 by its bytes, and goes into no such folder', async (t) => {
    const root = await withTree(t, ['a', 'truly \ufffd'])
    const latin = (name: string) => Buffer.from(`${root}/${name}`, 'latin1')
    await writeFile(latin('caf\u00e9 \\.mp4'), '')
    await mkdir(latin('\u00fcbung'))
    await writeFile(latin('\u00fcbung/film'), '')
    assert.deepEqual(
      (await walked(root)).map(({ path, files, closed }) => ({ path, files, closed })),
      [
        {
          path: '',
          files: ['a', 'truly \ufffd'],
          closed: ['caf\\xe9 \\x5c.mp4', '\\xfcbung'].map((path) => ({
            path,
            reason: 'its name is no UTF-8',
          })),
        },
      ],
    )
  })

  test('what it lists is read whole, however large, and no link or larger file is', async (t) => {
    const root = await withTree(t, ['small'])
    await writeFile(join(root, 'large'), Buffer.alloc(20_000, 7))
    await symlink('small', join(root, 'link'))
    const listed = openListed(root)
    assert.equal((await listed.read('small', 100))?.toString(), 'small')
    assert.deepEqual(await listed.read('large', 20_000), Buffer.alloc(20_000, 7))
    assert.equal(await listed.read('gone', 100), null)
    assert.equal((await listed.stat('large'))?.sizeBytes, 20_000)
    await assert.rejects(listed.read('large', 19_999), hasCode('PATH_UNSAFE'))
    await assert.rejects(listed.read('link', 100), hasCode('PATH_UNSAFE'))
  })
})
