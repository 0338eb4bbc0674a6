import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { approveMedium, assertArchived } from '../support/media-rows.ts'
import { type Env, logOf, type Service, story, withService } from '../support/service.ts'
import { SeenTerminal } from '../support/terminal.ts'

const PROGRAM = join(import.meta.dirname, '../../bin/strongroom')
const MIB = 1024 * 1024

/** Runs the program with a pseudo-terminal for all three of its streams. */
function onTerminal(t: TestContext, service: Service, { args, env }: { args: string; env: Env }) {
  const command = `stty cols 80 rows 24; exec ${PROGRAM} ${args}`
  const child = spawn('script', ['--quiet', '--return', '--flush', '-c', command, '/dev/null'], {
    env: { ...service.env, TERM: 'xterm', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const terminal = new SeenTerminal()
  const looks = new Set<() => void>()
  let raw = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    raw += text
    terminal.write(text)
    for (const look of looks) look()
  })
  const ended = once(child, 'close').then(([code]) => ({
    code: code as number | null,
    raw,
    terminal,
  }))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    ended,
    /** Resolves once the terminal shows it; rejects when the program ends without. */
    shows: (pattern: RegExp): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(terminal.picture())) return
          looks.delete(look)
          resolve()
        }
        looks.add(look)
        look()
        void ended.then(() => reject(new Error(`never showed ${pattern}: ${JSON.stringify(raw)}`)))
      }),
  }
}

/** A bucket whose first transfer breaks off in the middle, and whose second waits until the test has seen enough. */
async function withSlowBucket(t: TestContext) {
  const seen = Promise.withResolvers<void>()
  let transfers = 0
  const fault = ({ operation }: SeenRequest): Fault | undefined => {
    if (operation !== 'GetObject') return undefined
    transfers += 1
    return transfers === 1
      ? { kind: 'truncate', afterBytes: MIB }
      : { kind: 'delay', until: seen.promise }
  }
  return { ...(await withDemoBucket(t, { onRequest: fault })), go: seen.resolve }
}

describe('how far a run is', { concurrency: 2 }, () => {
  test('is drawn on a terminal, below the log, and gone when the run ends', async (t) => {
    const bucket = await withSlowBucket(t)
    const service = await withService(t, { bucket, env: {} })
    const media = [
      await approveMedium(service, { kind: 'video', bytes: uniqueMedia('video', 300, 2 * MIB) }),
      await approveMedium(service, { fileSize: 5 }),
    ]
    const env = { SYNC_CONCURRENCY: '1', LOG_FORMAT: 'text', NO_COLOR: '1' }
    const run = onTerminal(t, service, { args: 'sync --once', env })
    await run.shows(/^ {2}media 1 file .*\.mp4 +\d+% of 2\.0 MiB, .*\/s, \d+:\d\d left$/m)
    await run.shows(/^2 in hand, .* of 2\.0 MiB, .*\/s, \d+:\d\d left$/m)
    bucket.go()
    const { code, raw, terminal } = await run.ended
    assert.equal(code, 0, raw)
    for (const medium of media) await assertArchived(service, medium)

    const lines = terminal.picture().split('\n')
    assert.match(lines.at(-1) ?? '', /^2 archived \(\d+ bytes\), [\d.]+ s$/)
    assert.deepEqual(
      lines.slice(0, -1).map((line) => /^\S+Z WARN {2}(.*?) {1,2}item=/.exec(line)?.[1] ?? line),
      [
        'the transfer broke off and goes on from there',
        'the media row and the object disagree about the size',
      ],
      'the log stands whole and nothing else is left',
    )
    assert.doesNotMatch(raw, /\x1b\[[\d;]*m/, 'no colours')
    for (const picture of terminal.pictures)
      for (const line of picture.split('\n'))
        if (!line.includes(' WARN ')) assert.ok(line.length < 80, line)
  })

  test('is told in lines of JSON to a pipe, without one control character', async (t) => {
    const service = await withService(t, { env: { LOG_LEVEL: 'info', TERM: 'xterm' } })
    const media = [await approveMedium(service), await approveMedium(service)]
    const ended = await service.run(['sync', '--once'])
    assert.equal(ended.code, 0, story(ended))
    const paths = await Promise.all(media.map((medium) => assertArchived(service, medium)))
    const told = logOf(ended).filter(({ message }) => message === 'item settled')
    assert.deepEqual(told.map((line) => 'path' in line && line.path).sort(), paths.sort())
    assert.equal(logOf(ended).length, ended.stderr.trim().split('\n').length, 'JSON and no more')
    assert.doesNotMatch(ended.stdout + ended.stderr, /[^\n\x20-\u{10ffff}]/u)
  })

  test('is told in lines to a terminal that cannot move its cursor', async (t) => {
    const service = await withService(t)
    await approveMedium(service)
    const run = onTerminal(t, service, {
      args: 'sync --once',
      env: { TERM: 'dumb', LOG_LEVEL: 'info' },
    })
    const { code, raw } = await run.ended
    assert.equal(code, 0, raw)
    assert.match(raw, /"message":"item settled"/)
    assert.doesNotMatch(raw, /[^\r\n\x20-\u{10ffff}]/u)
  })
})
