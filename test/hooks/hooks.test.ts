import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { splitCommand } from '../../src/argv.ts'
import type { Hook } from '../../src/config/notify.ts'
import { variablesOf } from '../../src/hooks/context.ts'
import { createHooks } from '../../src/hooks/hooks.ts'
import { createLog } from '../../src/log.ts'
import type { Item } from '../../src/media.ts'
import type { ItemReport, Outcome } from '../../src/sync/report.ts'
import { runTool } from '../../src/tools/spawn.ts'
import { aRun } from '../notify/message.ts'
import { withFolder } from '../support/scopes.ts'

const PATH = '/usr/bin:/bin'
const { signal: never } = new AbortController()

/** Hooks as an operator would write them. */
function withHooks(
  lines: Partial<Record<Hook, string>>,
  { timeoutMs = 60_000, abort = never }: { timeoutMs?: number; abort?: AbortSignal } = {},
) {
  const logged: string[] = []
  const command = (hook: Hook) => splitCommand(lines[hook] ?? '')
  const hooks = createHooks({
    config: {
      commands: {
        HOOK_PRE_SYNC: command('HOOK_PRE_SYNC'),
        HOOK_POST_SYNC: command('HOOK_POST_SYNC'),
        HOOK_ITEM_ARCHIVED: command('HOOK_ITEM_ARCHIVED'),
        HOOK_ITEM_REJECTED: command('HOOK_ITEM_REJECTED'),
      },
      timeoutMs,
    },
    run: runTool,
    env: { PATH },
    archiveDir: '/media/archive',
    abort,
    log: createLog({
      level: 'info',
      format: 'json',
      destination: { write: (line) => logged.push(line) },
      secrets: ['a-long-secret'],
    }),
  })
  return { hooks, logged: () => logged.join('') }
}

function aReport(
  mediaId: number,
  outcome: Outcome,
  media: Partial<Item['media']> = {},
): ItemReport {
  const item: Item = {
    id: mediaId + 100,
    generation: 1,
    epoch: 1,
    state: 'archived',
    attempts: 0,
    lastError: null,
    intent: null,
    archivedAt: null,
    damaged: false,
    media: {
      mediaId,
      userId: 7,
      title: 'A title',
      filename: 'clip.mp4',
      contentType: 'video',
      mimeType: 'video/mp4',
      declaredBytes: 3,
      objectKey: 'up/clip.mp4',
      approvedAt: new Date(0),
      ...media,
    },
  }
  const archivePath = outcome === 'archived' ? '1970/01/clip.mp4' : null
  return { item, outcome, archivePath, sizeBytes: 3, sha256: 'ab', reason: null }
}

/** A script that a hook runs, in a folder of its own. */
async function withScript(
  t: TestContext,
  body: string,
): Promise<{ folder: string; script: string }> {
  const folder = await withFolder(t)
  const script = join(folder, 'hook')
  await writeFile(script, `#!/bin/sh\ncd '${folder}'\n${body}\n`, { mode: 0o755 })
  return { folder, script }
}

describe('a hook', () => {
  test('that is not set changes nothing', async () => {
    const { hooks, logged } = withHooks({})
    assert.equal(await hooks.before(aRun()), null)
    await hooks.after(aRun())
    hooks.settled(aReport(1, 'archived'))
    await hooks.close(never)
    assert.equal(logged(), '')
  })

  test('is told of the run in variables and in JSON on its standard input, and sees nothing else of ours', async (t) => {
    const { folder, script } = await withScript(t, 'env > env; cat > json')
    process.env.STRONGROOM_TEST_SECRET = 'secret'
    const { hooks } = withHooks({ HOOK_POST_SYNC: script })
    const error = { code: 'DISK_FULL', message: 'the disk is full', hint: null } as const
    await hooks.after(aRun({ status: 'failed', error }))
    delete process.env.STRONGROOM_TEST_SECRET
    const names = (await readFile(join(folder, 'env'), 'utf8'))
      .split('\n')
      .filter((line) => !/^(?:PWD|OLDPWD|SHLVL|_|NODE_V8_COVERAGE)=|^$/.test(line))
      .toSorted()
    assert.deepEqual(names, [
      `PATH=${PATH}`,
      'STRONGROOM_EVENT=post-sync',
      'STRONGROOM_RUN_BYTES=4096',
      'STRONGROOM_RUN_ENDED_AT=2026-03-05T04:30:12.000Z',
      'STRONGROOM_RUN_ERROR=the disk is full',
      'STRONGROOM_RUN_ERROR_CODE=DISK_FULL',
      'STRONGROOM_RUN_ID=7',
      'STRONGROOM_RUN_ITEMS_ARCHIVED=3',
      'STRONGROOM_RUN_JOB=sync',
      'STRONGROOM_RUN_MODE=live',
      'STRONGROOM_RUN_NODE=nas',
      'STRONGROOM_RUN_STARTED_AT=2026-03-05T04:30:00.000Z',
      'STRONGROOM_RUN_STATUS=failed',
      'STRONGROOM_RUN_TRIGGER=schedule',
    ])
    assert.partialDeepStrictEqual(JSON.parse(await readFile(join(folder, 'json'), 'utf8')), {
      event: 'post-sync',
      run_id: 7,
      run_items: { archived: 3 },
    })
  })

  test('gets what users wrote as text only: no word, no command and no line comes of it', async (t) => {
    const { folder, script } = await withScript(
      t,
      'echo "$#" > count; printf %s "$STRONGROOM_TITLE" > title; cat > json',
    )
    const title = `'; touch broken; $(touch broken) \`touch broken\` "\n--flag *`
    const { hooks } = withHooks({ HOOK_ITEM_ARCHIVED: `${script} one` })
    hooks.settled(aReport(1, 'archived', { title }))
    await hooks.close(never)
    assert.equal(await readFile(join(folder, 'title'), 'utf8'), title)
    assert.equal(await readFile(join(folder, 'count'), 'utf8'), '1\n')
    assert.partialDeepStrictEqual(JSON.parse(await readFile(join(folder, 'json'), 'utf8')), {
      event: 'item-archived',
      media_id: 1,
      title,
      file: '/media/archive/1970/01/clip.mp4',
    })
    await assert.rejects(readFile(join(folder, 'broken')), { code: 'ENOENT' })
  })

  test('before a sync that fails, is missing or takes too long says why the run is not to begin', async () => {
    const refusals: [line: string, code: string, sentence: RegExp][] = [
      ['false', 'HOOK_FAILED', /HOOK_PRE_SYNC failed: it ended with exit code 1/],
      ["sh -c 'exit 75'", 'HOOK_REFUSED', /said not now/],
      ["sh -c 'kill -KILL $$'", 'HOOK_FAILED', /it was ended by SIGKILL/],
      ['/nonexistent/hook', 'HOOK_FAILED', /could not be started \(ENOENT\)/],
      ["sh -c 'sleep 60'", 'HOOK_FAILED', /did not end within HOOK_TIMEOUT/],
    ]
    for (const [line, code, sentence] of refusals) {
      const timeoutMs = line.includes('sleep') ? 50 : 60_000
      const refusal = await withHooks({ HOOK_PRE_SYNC: line }, { timeoutMs }).hooks.before(aRun())
      assert.equal(refusal?.code, code, line)
      assert.match(refusal?.message ?? '', sentence)
    }
    assert.equal(await withHooks({ HOOK_PRE_SYNC: 'true' }).hooks.before(aRun()), null)
  })

  test('before a sync is stopped with the program, which is no failure of the hook', async () => {
    const stop = new AbortController()
    const { hooks } = withHooks({ HOOK_PRE_SYNC: 'sleep 60' }, { abort: stop.signal })
    const refusal = hooks.before(aRun())
    stop.abort()
    assert.equal((await refusal)?.code, 'CANCELLED')
  })

  test('after a sync that fails is logged with what it said, secrets masked and no more than 8 KiB', async () => {
    const { hooks, logged } = withHooks({
      HOOK_POST_SYNC: `sh -c 'echo a-long-secret; head -c 100000 /dev/zero | tr "\\0" x; echo bad >&2; exit 3'`,
    })
    await hooks.after(aRun())
    const line: { stdout: string; stderr: string; why: string; level: string } = JSON.parse(
      logged(),
    )
    assert.equal(line.level, 'warn')
    assert.equal(line.why, 'it ended with exit code 3')
    assert.match(line.stdout, /^\[secret\]\nx+$/)
    assert.ok(line.stdout.length <= 8_192)
    assert.equal(line.stderr, 'bad\n')
  })
})

describe('hooks of items', () => {
  test('run for each item of their kind, two at a time, and are waited for at the end', async (t) => {
    // Each writes down how many were running when it began.
    const { folder, script } = await withScript(
      t,
      'echo "$STRONGROOM_EVENT $STRONGROOM_MEDIA_ID" >> done; mkdir "slot$STRONGROOM_MEDIA_ID"; ls -d slot* | wc -l >> running; rmdir "slot$STRONGROOM_MEDIA_ID"',
    )
    const { hooks } = withHooks({ HOOK_ITEM_ARCHIVED: script, HOOK_ITEM_REJECTED: script })
    for (let mediaId = 1; mediaId <= 12; mediaId++)
      hooks.settled(aReport(mediaId, mediaId % 3 === 0 ? 'rejected' : 'archived'))
    for (const outcome of ['held', 'waiting', 'missing', 'left', 'withdrawn'] as const)
      hooks.settled(aReport(99, outcome))
    await hooks.close(never)
    const done = (await readFile(join(folder, 'done'), 'utf8')).trim().split('\n')
    assert.deepEqual(
      done.toSorted(),
      Array.from(
        { length: 12 },
        (_, i) => `item-${(i + 1) % 3 === 0 ? 'rejected' : 'archived'} ${i + 1}`,
      ).toSorted(),
    )
    const running = (await readFile(join(folder, 'running'), 'utf8')).trim().split('\n').map(Number)
    assert.ok(running.every((count) => count <= 2))
  })

  test('never hold up whoever reports an item', () => {
    const { hooks } = withHooks({ HOOK_ITEM_ARCHIVED: 'sleep 60' })
    const stop = new AbortController()
    // Reported and forgotten: nothing here waits, and the end of the test is not held up either.
    for (let mediaId = 1; mediaId <= 100; mediaId++) hooks.settled(aReport(mediaId, 'archived'))
    const closed = hooks.close(stop.signal)
    stop.abort()
    return closed
  })

  test('are killed at the deadline, and the log says how many did not run', async () => {
    const { hooks, logged } = withHooks({ HOOK_ITEM_ARCHIVED: 'sleep 60' })
    for (let mediaId = 1; mediaId <= 10; mediaId++) hooks.settled(aReport(mediaId, 'archived'))
    await hooks.close(AbortSignal.abort())
    assert.match(logged(), /"leftOut":8,"message":"hooks of items that did not run"/)
    assert.equal(logged().match(/the hook was stopped/g)?.length, 2)
  })

  test('that are slower than the sync by ten thousand items are left out, and the log says so once', async () => {
    const { hooks, logged } = withHooks({ HOOK_ITEM_ARCHIVED: 'sleep 60' })
    for (let mediaId = 1; mediaId <= 10_010; mediaId++) hooks.settled(aReport(mediaId, 'archived'))
    await hooks.close(AbortSignal.abort())
    assert.equal(logged().match(/some are left out/g)?.length, 1)
    assert.match(logged(), /"leftOut":10008/)
  })
})

test('a variable of a hook holds whatever text, cut where Linux would refuse it, and never a zero byte', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(20_000), (text, times) => {
      const { STRONGROOM_TITLE: title = '' } = variablesOf({
        event: 'item-archived',
        title: `${text}\0${'é'.repeat(times)}`,
      })
      assert.ok(!title.includes('\0') && Buffer.byteLength(title) <= 8_192)
    }),
  )
})
