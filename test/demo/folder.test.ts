import assert from 'node:assert/strict'
import { rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openDemoFolder } from '../../src/demo/folder.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

describe("a demo's folder", () => {
  test('is held by one demo at a time, under whatever name', async (t) => {
    const outer = await withFolder(t)
    const dir = join(outer, 'demo data')
    const first = await openDemoFolder(dir)
    await symlink(dir, join(outer, 'link'))
    for (const name of ['demo data', 'link', 'link/../demo data'])
      await assert.rejects(
        openDemoFolder(join(outer, name)),
        hasCode('CONFIG_INVALID', /^another demo runs in /),
      )
    const other = await openDemoFolder(join(outer, 'other'))
    await first.close()
    await rename(dir, join(outer, 'moved'))
    const again = await openDemoFolder(join(outer, 'moved'))
    await Promise.all([again.close(), other.close()])
  })

  test('is refused where something else stands in its place', async (t) => {
    const outer = await withFolder(t)
    await writeFile(join(outer, 'file'), '')
    await assert.rejects(openDemoFolder(join(outer, 'file')), hasCode('PATH_UNSAFE'))
    await assert.rejects(openDemoFolder('/proc/demo'), hasCode('DISK_DENIED', /no folder can/))
  })
})
