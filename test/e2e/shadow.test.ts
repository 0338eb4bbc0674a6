import assert from 'node:assert/strict'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { sha256, tree } from '../support/adoption.ts'
import { photograph } from '../support/checker.ts'
import { startTalking } from '../support/program.ts'
import { type Ended, story } from '../support/service.ts'
import { SYNC, withShadow } from '../support/shadow.ts'

function summaryOf(ended: Ended): Record<string, unknown> {
  return JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '')
}

/** The names that stand for what would be archived. */
async function filed(dir: string): Promise<string[]> {
  const paths = Object.keys(await tree(dir))
  return paths.filter((path) => !path.startsWith('.strongroom/')).sort()
}

describe('shadow mode does everything up to the archive, in a folder of its own', {
  concurrency: 2,
}, () => {
  test('with no right but to read it changes no row, no object and no archived byte', async (t) => {
    const service = await withShadow(t)
    const { shadowDir, shadow, sql } = service
    const uploads = await service.approve(4, (n) => {
      if (n === 1) return { bytes: Buffer.from('no media') }
      return n === 2 ? 'no object' : undefined
    })
    await writeFile(join(service.archiveDir, 'old.mp4'), 'of the other service')
    const before = await photograph(service)

    const first = await shadow()
    assert.equal(first.code, 75, story(first))
    const { bytes, ...counts } = summaryOf(first)
    const none = { hold: 0, late: 0, retry: 0, stopped_by: null }
    assert.deepEqual(counts, { shadow: true, archive: 2, reject: 1, missing: 1, ...none })
    assert.ok(Number(bytes) > 0)
    assert.deepEqual([...service.operations()].sort(), ['GetObject', 'HeadObject', 'ListObjectsV2'])
    assert.deepEqual(await photograph(service), before)
    const [ours] = await sql`select from pg_namespace where nspname = 'strongroom'`
    assert.equal(ours, undefined, 'no schema was made')

    const files = await filed(shadowDir)
    assert.equal(files.length, 4, 'two files, each with its sidecar')
    for (const { sha256: wanted, fate, mediaId } of uploads) {
      if (fate !== 'archived') continue
      const path = files.find((name) => name.includes(`/${mediaId}/`) && !name.endsWith('.json'))
      assert.ok(path !== undefined)
      assert.equal(sha256(await readFile(join(shadowDir, path))), wanted)
    }
    assert.deepEqual(await readdir(join(shadowDir, '.strongroom/tmp')), [])

    await service.admin.put('uploads/3.mp4', Buffer.from(''))
    const again = await shadow()
    const { bytes: more, ...fresh } = summaryOf(again)
    assert.deepEqual(fresh, { shadow: true, archive: 0, reject: 1, missing: 0, ...none })
    assert.equal(more, 0, 'what was looked at is not fetched again')
  })

  test('of copies beyond SHADOW_KEEP only the sidecar and what the report needs stay', async (t) => {
    const { approve, shadow, shadowDir } = await withShadow(t)
    await approve(2)
    const ended = await shadow(SYNC, { SHADOW_KEEP: '0' })
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(
      (await filed(shadowDir)).map((path) => path.replace(/.*\/(\d+\/)/, '$1')),
      ['1/1.png.json', '2/2.wav.json'],
    )
    const again = await shadow(SYNC, { SHADOW_KEEP: '0' })
    assert.equal(summaryOf(again).bytes, 0, story(again))
  })

  test('its folder is never taken for an archive, nor an archive for its folder', async (t) => {
    const service = await withShadow(t)
    const { approve, shadow, shadowDir, run, archiveDir } = service
    await approve(1)
    await shadow()
    const live = await run(['sync', '--once'], { ARCHIVE_DIR: shadowDir })
    assert.equal(live.code, 74, story(live))
    assert.match(live.stderr, /is the test folder of a run in shadow mode/)
    const real = await run(['sync', '--once'])
    assert.equal(real.code, 0, story(real))

    for (const [dir, wrong] of [
      [join(archiveDir, 'x'), /must not be ARCHIVE_DIR/],
      [dirname(archiveDir), /must not be ARCHIVE_DIR/],
    ] as const) {
      const refused = await shadow(SYNC, { SHADOW_DIR: dir })
      assert.equal(refused.code, 78, story(refused))
      assert.match(refused.stderr, wrong)
    }
    const link = `${shadowDir}-link`
    await symlink(archiveDir, link)
    const names = await readdir(archiveDir)
    for (const dir of [link, join(link, 'not/there')]) {
      const linked = await shadow(SYNC, { SHADOW_DIR: dir })
      assert.equal(linked.code, 78, story(linked))
      assert.match(linked.stderr, /is ARCHIVE_DIR .* or lies in it/)
    }
    assert.deepEqual(await readdir(archiveDir), names, 'nothing was made there')
    const foreign = await shadow(SYNC, {
      ARCHIVE_DIR: `${archiveDir}-other`,
      SHADOW_DIR: archiveDir,
    })
    assert.equal(foreign.code, 74, story(foreign))
    assert.match(foreign.stderr, /is not empty/)
  })

  test('commands that may write are refused while MODE says shadow', async (t) => {
    const { shadow } = await withShadow(t)
    for (const args of [
      ['reconcile'],
      ['migrate'],
      ['release', 'resume'],
      ['adopt', '--from-database'],
      ['doctor', '--public-url', 'https://media.example.org'],
    ])
      assert.equal((await shadow(args)).code, 78, args.join(' '))
  })

  test('start looks again and again, waits for what is away, and ends at a signal', async (t) => {
    const service = await withShadow(t)
    const { approve, env, settings, shadowDir } = service
    await approve(1)
    const each = { ...env, ...settings, SYNC_INTERVAL: '1s' }
    const running = startTalking(t, ['start', '--role', 'sync', '--role', 'admin'], each)
    const port = await running.port('admin')
    await running.said(/"media":1,"verdict":"archive"/)
    await approve(1)
    await running.said(/"media":2,"verdict":"archive"/)
    const health = await fetch(`http://127.0.0.1:${port}/health/deep`)
    const verdict = (await health.json()) as { checks: object }
    assert.equal(health.status, 200, JSON.stringify(verdict))
    assert.equal('archive' in verdict.checks, false, 'there is none of ours yet')
    const ended = await running.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.equal((await filed(shadowDir)).length, 4)
    const [ours] = await service.sql`select from pg_namespace where nspname = 'strongroom'`
    assert.equal(ours, undefined)
  })
})
