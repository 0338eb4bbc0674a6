import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, test } from 'node:test'
import { runTool as runHere, type Tool, type ToolOutcome } from '../../src/tools/spawn.ts'
import { createSpawner } from '../../src/tools/spawner.ts'
import { appears, livingProcesses, processesEnd, script } from '../support/processes.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

const PATH = '/usr/bin:/bin'
/** 1 to 31; what libuv and whoever started us make of the others goes on. */
const USUAL_SIGNALS = 0x7fffffffn

function tool(command: string, facts: Partial<Tool> = {}): Tool {
  return { command, args: [], env: { PATH }, timeoutMs: 60_000, maxOutputBytes: 65_536, ...facts }
}

afterEach(async () => {
  // Node closes the handle of a process that has ended in the next turns of its loop.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  const left = process.getActiveResourcesInfo().filter((name) => /Process|Timeout/.test(name))
  assert.deepEqual(left, [], 'no child and no timer is left')
})

async function runBySpawner(asked: Tool): Promise<ToolOutcome> {
  const spawner = createSpawner({ searchPath: PATH })
  try {
    return await spawner.run(asked)
  } finally {
    await spawner.close()
  }
}

/** Files that whoever started this process has left open for all that it starts: without O_CLOEXEC (proc(5), fcntl.h). */
function inherited(): string[] {
  return readdirSync('/proc/self/fdinfo').filter((fd) => {
    // The folder that is read here is closed by now.
    const path = `/proc/self/fdinfo/${fd}`
    const [, flags = ''] = existsSync(path)
      ? (/flags:\t(\d+)/.exec(readFileSync(path, 'latin1')) ?? [])
      : []
    return Number(fd) > 2 && flags !== '' && (Number.parseInt(flags, 8) & 0o2000000) === 0
  })
}

/** Node adds this variable to every child of a process whose coverage is measured. */
function isOfTheTool(line: string): boolean {
  return !line.startsWith('NODE_V8_COVERAGE=')
}

for (const [who, runTool] of [
  ['this process', runHere],
  ['the small one', runBySpawner],
] as const) {
  describe(`a tool started by ${who}`, () => {
    test('gets its arguments as they are: no shell reads them', async () => {
      const args = ['%s\\n', '$HOME', '`id`', '; rm -rf /', '*', "'", '\n', '--', '-x']
      const ran = await runTool(tool('printf', { args }))
      assert.equal(ran.kind === 'exited' && ran.stdout, `${args.slice(1).join('\n')}\n`)
    })

    test('sees the environment it is given and nothing of ours', async () => {
      process.env.STRONGROOM_TEST_SECRET = 'secret'
      const ran = await runTool(tool('env', { env: { PATH, GIVEN: '1' } }))
      delete process.env.STRONGROOM_TEST_SECRET
      const seen = ran.kind === 'exited' ? ran.stdout.split('\n').filter(isOfTheTool) : []
      assert.deepEqual(seen, [`PATH=${PATH}`, 'GIVEN=1', ''])
    })

    test('finds nothing on its standard input', async () => {
      const ran = await runTool(tool('cat'))
      assert.deepEqual(ran, { kind: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '' })
    })

    test('inherits no open file, and signals mean to it what they usually do', async () => {
      const files = await runTool(tool('sh', { args: ['-c', 'exec ls /proc/$$/fd'] }))
      // The 3 is the folder that ls reads.
      const seen = files.kind === 'exited' ? files.stdout.trim().split('\n') : []
      assert.deepEqual(new Set(seen), new Set(['0', '1', '2', '3', ...inherited()]))
      const status = await runTool(tool('cat', { args: ['/proc/self/status'] }))
      const text = status.kind === 'exited' ? status.stdout : ''
      for (const name of ['SigBlk', 'SigIgn', 'SigCgt']) {
        const mask = new RegExp(`^${name}:\\t([0-9a-f]+)$`, 'm').exec(text)?.[1]
        assert.equal(BigInt(`0x${mask}`) & USUAL_SIGNALS, 0n, `${name} is ${mask}`)
      }
    })

    test('gets no more memory than it is given, and is the first to go when the machine has none', async () => {
      const args = ['-e', 'my $taken = "a" x shift; print length $taken', '200000000']
      const run = (memoryBytes: number) => runTool(tool('perl', { args, memoryBytes }))
      const [enough, tooLittle] = [await run(2 ** 30), await run(2 ** 26)]
      assert.equal(enough.kind === 'exited' && enough.stdout, '200000000')
      assert.match(tooLittle.kind === 'exited' ? tooLittle.stderr : '', /^Out of memory/)
      const score = tool('cat', { args: ['/proc/self/oom_score_adj'], memoryBytes: 2 ** 30 })
      const told = await runTool(score)
      assert.equal(told.kind === 'exited' && told.stdout, '1000\n')
    })

    test('that says too much is stopped, or only heard to its beginning', async () => {
      const args = ['-c', 'head -c 100000 /dev/zero; echo end >&2']
      const ran = await runTool(tool('sh', { args, maxOutputBytes: 100, excess: 'drop' }))
      assert.equal(ran.kind === 'exited' && ran.stdout.length, 100)
      assert.equal(ran.kind === 'exited' && ran.stderr, 'end\n')
      const stopped = await runTool(tool('sh', { args, maxOutputBytes: 100 }))
      assert.equal(stopped.kind, 'overflow')
    })

    test('reports exit code, output and complaints', async () => {
      const ran = await runTool(tool('sh', { args: ['-c', 'echo out; echo bad >&2; exit 3'] }))
      const expected = {
        kind: 'exited',
        exitCode: 3,
        signal: null,
        stdout: 'out\n',
        stderr: 'bad\n',
      }
      assert.deepEqual(ran, expected)
    })

    test('that ends by itself leaves no listener on the signal', async () => {
      const { signal } = new AbortController()
      await runTool(tool('true', { signal }))
      assert.deepEqual(getEventListeners(signal, 'abort'), [])
    })

    test('that crashes is told apart by its signal', async () => {
      const ran = await runTool(tool('sh', { args: ['-c', 'kill -SEGV $$'] }))
      assert.equal(ran.kind === 'exited' && ran.signal, 'SIGSEGV')
      assert.equal(ran.kind === 'exited' && ran.exitCode, null)
    })

    test('that does not exist, or is no program, is reported as not started', async (t) => {
      const folder = await withFolder(t)
      const plain = join(folder, 'plain')
      await writeFile(plain, 'text')
      const expected = { [join(folder, 'none')]: 'ENOENT', [plain]: 'EACCES', [folder]: 'EACCES' }
      for (const [command, systemCode] of Object.entries(expected)) {
        assert.deepEqual(await runTool(tool(command)), { kind: 'not-started', systemCode })
      }
      await chmod(plain, 0o755)
      const ran = await runTool(tool(plain))
      assert.ok(ran.kind === 'not-started' || (ran.kind === 'exited' && ran.exitCode !== 0))
    })
  })

  describe(`a tool started by ${who} that must be stopped`, () => {
    test('is killed at its deadline even if it ignores the request to end, with its children', async (t) => {
      const folder = await withFolder(t)
      const body = `trap '' TERM HUP INT; ${folder}/child & ${folder}/child >/dev/null 2>&1 & wait; wait; exec sleep 1000`
      await script(folder, 'child', `trap '' TERM HUP INT; while :; do sleep 1000; done`)
      const command = await script(folder, 'hangs', body)
      assert.deepEqual(await runTool(tool(command, { timeoutMs: 300 })), { kind: 'timeout' })
      await processesEnd(folder)
    })

    test('ends at once when it heeds the request', async (t) => {
      const folder = await withFolder(t)
      const command = await script(
        folder,
        'polite',
        `trap 'exit 0' TERM; : > ${folder}/up; while :; do :; done`,
      )
      const abort = new AbortController()
      const up = appears(folder, 'up')
      const running = runTool(tool(command, { signal: abort.signal }))
      await up
      abort.abort(new Error('shutting down'))
      await assert.rejects(running, hasCode('CANCELLED'))
      assert.deepEqual(livingProcesses(folder), [])
      assert.deepEqual(getEventListeners(abort.signal, 'abort'), [])
    })

    test('is not even started when the signal came first', async (t) => {
      const folder = await withFolder(t)
      const command = await script(folder, 'starts', `: > ${folder}/started`)
      const signal = AbortSignal.abort()
      await assert.rejects(runTool(tool(command, { signal })), hasCode('CANCELLED'))
      assert.deepEqual(await readdir(folder), ['starts'])
    })

    test('is killed when it prints more than the limit', async () => {
      const ran = await runTool(tool('yes', { maxOutputBytes: 1000 }))
      assert.deepEqual(ran, { kind: 'overflow' })
    })

    test('is not one that complains at length: the first complaints are kept, the rest is dropped', async () => {
      const args = ['-c', 'yes bad | head -c 300000 >&2; echo done']
      const ran = await runTool(tool('sh', { args, maxOutputBytes: 1000 }))
      assert.equal(ran.kind === 'exited' && ran.stdout, 'done\n')
      assert.equal(ran.kind === 'exited' && ran.stderr, 'bad\n'.repeat(250))
    })

    test('may print exactly the limit', async () => {
      const args = ['-c', '1000', '/dev/zero']
      const ran = await runTool(tool('head', { args, maxOutputBytes: 1000 }))
      assert.equal(ran.kind === 'exited' && ran.stdout.length, 1000)
    })
  })

  describe(`what a tool started by ${who} leaves behind`, () => {
    test('in its group goes with it', async (t) => {
      const folder = await withFolder(t)
      const child = await script(folder, 'child', 'while :; do sleep 1000; done')
      const command = await script(folder, 'forks', `${child} >/dev/null 2>&1 & echo done`)
      const ran = await runTool(tool(command))
      assert.equal(ran.kind === 'exited' && ran.stdout, 'done\n')
      await processesEnd(folder)
    })

    test('outside its group cannot keep us waiting by holding its output open', async (t) => {
      const folder = await withFolder(t)
      const up = join(folder, 'up')
      const child = await script(folder, 'child', `: > ${up}; exec sleep 1000`)
      const command = await script(
        folder,
        'flees',
        `setsid ${child} & while [ ! -e ${up} ]; do :; done; echo $!`,
      )
      const ran = await runTool(tool(command))
      assert.ok(ran.kind === 'exited' && Number(ran.stdout) > 1)
      process.kill(Number(ran.stdout), 'SIGKILL')
    })
  })
}

describe('a tool that only this process can start', () => {
  test('finds there what it is given, also more than a pipe holds, and need not read it', async () => {
    const input = 'x'.repeat(1_000_000)
    const ran = await runHere(tool('wc', { args: ['-c'], input }))
    assert.equal(ran.kind === 'exited' && ran.stdout.trim(), '1000000')
    const deaf = await runHere(tool('true', { input }))
    assert.equal(deaf.kind === 'exited' && deaf.exitCode, 0)
  })

  test('runs in the folder it is given', async (t) => {
    const cwd = await withFolder(t)
    const ran = await runHere(tool('pwd', { cwd }))
    assert.equal(ran.kind === 'exited' && ran.stdout.trim(), cwd)
  })
})

test('a zero byte in an argument is a bug of ours, not a missing tool', async () => {
  const asked = tool('true', { args: ['a\0b'] })
  await assert.rejects(runHere(asked), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(runBySpawner(asked), hasCode('INTERNAL'))
})
