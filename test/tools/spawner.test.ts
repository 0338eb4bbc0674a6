import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import type { Tool } from '../../src/tools/spawn.ts'
import { createSpawner, type Spawner } from '../../src/tools/spawner.ts'
import {
  appears,
  livingProcesses,
  processEnds,
  processesEnd,
  script,
} from '../support/processes.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'

const PATH = '/usr/bin:/bin'
const HELPER = join(import.meta.dirname, '../../src/tools/spawner.pl')
const SPAWNER = join(import.meta.dirname, '../../src/tools/spawner.ts')

function tool(command: string, facts: Partial<Tool> = {}): Tool {
  return {
    command,
    args: [],
    env: { PATH },
    timeoutMs: 60_000,
    maxOutputBytes: 1_000_000,
    ...facts,
  }
}

function withSpawner(t: Scope, searchPath = PATH): Spawner {
  const spawner = createSpawner({ searchPath })
  t.after(() => spawner.close())
  return spawner
}

/** A program that runs until it is killed, and the moment from which it does. */
async function withEndless(
  t: Scope,
): Promise<{ folder: string; command: string; up: Promise<void> }> {
  const folder = await withFolder(t)
  const body = `trap '' TERM HUP INT; : > ${folder}/up; while :; do sleep 1000; done`
  const command = await script(folder, 'endless', body)
  return { folder, command, up: appears(folder, 'up') }
}

function frameOf(fields: readonly string[]): Buffer {
  const body = Buffer.from(fields.join('\0'))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
}

/** The first frame that begins with this word. */
function wordFrom(stream: Readable, word: string): Promise<string[]> {
  return new Promise((resolve) => {
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const found = new RegExp(`${word}\\0(\\d+)\\0(\\d+)`).exec(text)
      if (found !== null) resolve([word, ...found.slice(1)])
    })
  })
}

/** The small process of the process `parent`. */
function helperOf(parent: number): number {
  const isChild = (pid: number) =>
    new RegExp(`^PPid:\\t${parent}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  const [found, ...more] = livingProcesses('spawner.pl').filter(isChild)
  assert.ok(found !== undefined && more.length === 0, 'there is one')
  return found
}

const ended = hasCode('PROBE_FAILED', /the process that starts programs was ended/)

test('programs that run at once are told apart', async (t) => {
  const spawner = withSpawner(t)
  const print = 'head -c 200000 /dev/zero | tr "\\\\0" "$1"; echo "$1" >&2; exit "$2"'
  const letters = [...'abcdefghijklmnop']
  const ran = await Promise.all(
    letters.map((letter, n) =>
      spawner.run(tool('sh', { args: ['-c', print, 'sh', letter, `${n}`] })),
    ),
  )
  const expected = letters.map((letter, exitCode) => ({
    kind: 'exited',
    exitCode,
    signal: null,
    stdout: letter.repeat(200_000),
    stderr: `${letter}\n`,
  }))
  assert.deepEqual(ran, expected)
})

test('all are started by one small process, which is gone when it is closed', async (t) => {
  const spawner = withSpawner(t)
  await spawner.run(tool('true'))
  const helper = helperOf(process.pid)
  await Promise.all([1, 2, 3].map(() => spawner.run(tool('true'))))
  assert.equal(helperOf(process.pid), helper)
  await spawner.close()
  await processEnds(helper)
})

describe('the small process', () => {
  test('that is killed takes its programs along, says so, and is replaced', async (t) => {
    const spawner = withSpawner(t)
    const { command, folder, up } = await withEndless(t)
    const runs = [spawner.run(tool(command)), spawner.run(tool('sleep', { args: ['1000'] }))]
    const outcomes = Promise.all(runs.map((run) => assert.rejects(run, ended)))
    await up
    process.kill(helperOf(process.pid), 'SIGKILL')
    await outcomes
    await processesEnd(folder)
    const next = await spawner.run(tool('echo', { args: ['again'] }))
    assert.equal(next.kind === 'exited' && next.stdout, 'again\n')
  })

  test('tells whom to kill before it lets a program run, so that none outlives it', async (t) => {
    const { command, folder } = await withEndless(t)
    for (let n = 0; n < 20; n++) {
      const helper = spawn('perl', [HELPER], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
      const gone = once(helper, 'close')
      const told = wordFrom(helper.stdout, 'forked')
      helper.stdin.write(frameOf(['run', '1', '1000', '0', '0', command, 'PATH', PATH]))
      const [, , pid] = await told
      helper.kill('SIGKILL')
      await gone
      try {
        process.kill(-Number(pid), 'SIGKILL')
      } catch {
        // It was never let go.
      }
      await processesEnd(folder)
    }
  })

  test('that does nothing any more is killed, and its programs with it, after their time', async (t) => {
    const spawner = withSpawner(t)
    const { command, folder, up } = await withEndless(t)
    const run = assert.rejects(spawner.run(tool(command, { timeoutMs: 300 })), ended)
    await up
    process.kill(helperOf(process.pid), 'SIGSTOP')
    await run
    await processesEnd(folder)
  })

  test('that does nothing any more is killed before it has started a program, too', async (t) => {
    const spawner = withSpawner(t)
    await spawner.run(tool('true'))
    process.kill(helperOf(process.pid), 'SIGSTOP')
    await assert.rejects(spawner.run(tool('true', { timeoutMs: 300 })), ended)
    const next = await spawner.run(tool('echo', { args: ['again'] }))
    assert.equal(next.kind === 'exited' && next.stdout, 'again\n')
  })

  test('ends, with what it runs, when its parent is killed', async (t) => {
    const { command, folder, up } = await withEndless(t)
    const program = `import { createSpawner } from ${JSON.stringify(SPAWNER)}
      createSpawner({ searchPath: '${PATH}' }).run(${JSON.stringify(tool(command))})`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program])
    t.after(() => parent.kill('SIGKILL'))
    const gone = once(parent, 'close')
    await up
    const helper = helperOf(parent.pid ?? 0)
    parent.kill('SIGKILL')
    await gone
    await processEnds(helper)
    await processesEnd(folder)
  })

  test('that is closed ends what runs still', async (t) => {
    const spawner = withSpawner(t)
    const { command, folder, up } = await withEndless(t)
    const run = assert.rejects(spawner.run(tool(command)), ended)
    await up
    await spawner.close()
    await run
    await processesEnd(folder)
  })

  test('goes on when it is asked to end together with the service', async (t) => {
    const spawner = withSpawner(t)
    await spawner.run(tool('true'))
    const helper = helperOf(process.pid)
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(helper, signal)
    await spawner.run(tool('true'))
    assert.equal(helperOf(process.pid), helper)
  })
})

describe('without a Perl that works', () => {
  for (const [what, body] of [
    ['there is none', null],
    ['it ends at once', 'exit 2'],
    ['it is another program', 'echo hello'],
    ['it says nothing', '/bin/sleep 1000'],
  ] as const)
    test(`programs are started by this process when ${what}`, async (t) => {
      const folder = await withFolder(t)
      if (body !== null) await script(folder, 'perl', body)
      const ran = await withSpawner(t, folder).run(tool('echo', { args: ['here'] }))
      assert.equal(ran.kind === 'exited' && ran.stdout, 'here\n')
      await processesEnd(folder)
    })

  test('it is tried again after a while', async (t) => {
    const folder = await withFolder(t)
    const perl = await script(folder, 'perl', 'exit 1')
    const spawner = createSpawner({ searchPath: `${folder}:${PATH}`, triedAgainAfterMs: 0 })
    t.after(() => spawner.close())
    await spawner.run(tool('true'))
    assert.throws(() => helperOf(process.pid))
    await rm(perl)
    await spawner.run(tool('true'))
    assert.ok(helperOf(process.pid))
  })
})
