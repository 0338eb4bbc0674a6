import assert from 'node:assert/strict'
import { lutimes, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CurrentItem } from '../../src/db/items.ts'
import { openDisk } from '../../src/storage/disk.ts'
import type { Finding } from '../../src/sync/fsck-findings.ts'
import { findLeftovers } from '../../src/sync/fsck-leftovers.ts'
import { withFolder } from '../support/scopes.ts'
import { never } from '../support/worker.ts'

test('a temporary that its worker removes while it is asked about is not called left over', async (t) => {
  const disk = await openDisk(await withFolder(t))
  for (const folder of ['.strongroom', '.strongroom/tmp']) await disk.makeFolder(folder)
  for (const item of [1, 2]) await (await disk.create(`.strongroom/tmp/${item}.1.json`)).close()
  const current = async (ids: readonly number[]) => {
    // Recorded at this very moment: the lease is given up, and the temporary is gone.
    await disk.unlink('.strongroom/tmp/1.1.json')
    const recorded: CurrentItem = { epoch: 1, state: 'archived', leased: false }
    return new Map(ids.map((id) => [id, recorded]))
  }
  const parts = { disk, errorDisk: null, current, now: () => new Date() }
  const found: Finding[] = []
  for await (const finding of findLeftovers(parts, never)) found.push(finding)
  assert.deepEqual(
    found.map(({ path }) => path),
    ['.strongroom/tmp/2.1.json'],
  )
})

test('what an adoption left is told also where it cannot be opened', async (t) => {
  const disk = await openDisk(await withFolder(t))
  for (const folder of ['.strongroom', '.strongroom/tmp']) await disk.makeFolder(folder)
  const path = '.strongroom/tmp/adopt-0123456789abcdef.part'
  await symlink('nowhere', join(disk.root, path))
  await lutimes(join(disk.root, path), 1, 1)
  const parts = { disk, errorDisk: null, current: async () => new Map(), now: () => new Date() }
  const found: Finding[] = []
  for await (const finding of findLeftovers(parts, never)) found.push(finding)
  assert.deepEqual(
    found.map((finding) => [finding.kind, finding.path]),
    [['temporary', path]],
  )
})
