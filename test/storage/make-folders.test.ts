import assert from 'node:assert/strict'
import { stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { makeFolders } from '../../src/storage/make-folders.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

describe('makeFolders', () => {
  test('makes all that is missing, and nothing of what is there', async (t) => {
    const path = join(await withFolder(t), 'one', 'two', 'three')
    await makeFolders(path)
    const made = await stat(path)
    assert.ok(made.isDirectory())
    await makeFolders(path)
    assert.equal((await stat(path)).ino, made.ino)
  })

  test('may be asked twice at one time', async (t) => {
    const path = join(await withFolder(t), 'one', 'two', 'three')
    await Promise.all([makeFolders(path), makeFolders(path)])
    assert.ok((await stat(path)).isDirectory())
  })

  test('is refused where a file is in the way', async (t) => {
    const file = join(await withFolder(t), 'file')
    await writeFile(file, '')
    const link = join(await withFolder(t), 'link')
    await symlink('nowhere', link)
    await assert.rejects(makeFolders(link), hasCode('NAME_TAKEN', /no folder$/))
    await assert.rejects(makeFolders(file), hasCode('NAME_TAKEN', /no folder$/))
    await assert.rejects(makeFolders(join(file, 'below')), hasCode('PATH_UNSAFE'))
  })

  test('ends where no folder can be made', async () => {
    for (const path of ['/proc/strongroom', '/proc/strongroom/archive/deep'])
      await assert.rejects(makeFolders(path), hasCode('DISK_DENIED', /no folder can be made there/))
  })
})
