import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withInstallation } from '../support/installation.ts'
import { story } from '../support/service.ts'

test('a name from outside is one line of output, whatever it has in it', async (t) => {
  const env = { FREE_SPACE_CLEAN: 'errors', FREE_SPACE_MIN: '90%' }
  const { archiveDir, sql, run } = await withInstallation(t, env)
  const made = await run('init-volume')
  assert.equal(made.code, 0, story(made))
  const errorDir = join(archiveDir, 'no such folder')
  await mkdir(errorDir)
  for (const path of [join(archiveDir, 'a\nforged'), join(archiveDir, 'a\nforged.json')])
    await writeFile(path, '{}')
  await writeFile(join(errorDir, 'b\nforged'), '')
  await sql`insert into media (id, object_key, status, archive_path) values (1, 'k', 'archived', ${'c\nforged'})`
  for (const [args, says] of [
    [['adopt', '--from-database', '--dry-run'], /^refused .* at c\\u000aforged: /m],
    [['fsck', '--from-sidecars'], /^refused: a\\u000aforged: /m],
    [['clean', '--dry-run'], /^ {2}stays: .*b\\u000aforged: /m],
  ] as const) {
    const ended = await run(...args)
    assert.match(ended.stdout, says, story(ended))
    assert.doesNotMatch(ended.stdout, /^forged/m)
  }
})
