/** The program as a process that talks while it runs: its ports, its links, its log on standard output. */
import { execFile, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assertNoLeak } from './canaries.ts'
import type { Scope } from './scopes.ts'
import { type Ended, type Env, story } from './service.ts'

const PROGRAM = join(import.meta.dirname, '../../bin/strongroom')

export interface TalkingProgram {
  pid: number
  ended: Promise<Ended>
  /** Resolves with the first match in what standard output holds from `from` on; rejects when the process ends without. */
  said(pattern: RegExp, from?: number): Promise<RegExpExecArray>
  /** The length of standard output so far, to wait for what comes after. */
  mark(): number
  /** The port that the role says it listens on. */
  port(role: 'serve' | 'admin'): Promise<number>
  stop(signal?: NodeJS.Signals): Promise<Ended>
}

/** Starts the program with exactly these settings, whose secrets it must not tell; it is killed after the test. */
export function startTalking(t: Scope, args: readonly string[], env: Env): TalkingProgram {
  const child = spawn(PROGRAM, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const text = { stdout: '', stderr: '' }
  const heard = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
      for (const look of heard) look()
    })
  }
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    assertNoLeak(text, env)
    return { code, signal, ...text }
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const said: TalkingProgram['said'] = (pattern, from = 0) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(text.stdout.slice(from))
        if (match === null) return
        heard.delete(look)
        resolve(match)
      }
      heard.add(look)
      look()
      ended.then((how) => reject(new Error(`never said ${pattern}: ${story(how)}`)), reject)
    })
  return {
    pid: child.pid ?? 0,
    ended,
    said,
    mark: () => text.stdout.length,
    async port(role) {
      const [, port] = await said(new RegExp(`"role":"${role}","port":(\\d+)`))
      return Number(port)
    },
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    },
  }
}

/** Runs the program as nobody:users, who owns nothing here; only root can. */
export function runAsNobody(args: readonly string[], env: Env): Promise<Ended> {
  const ids = ['--reuid', '99', '--regid', '100', '--clear-groups', '--']
  // Nobody may write where the coverage of this run is collected, and Node would complain of that.
  const command = [...ids, 'env', '-u', 'NODE_V8_COVERAGE', PROGRAM, ...args]
  return new Promise((resolve) => {
    const child = execFile('setpriv', command, { env }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr }),
    )
  })
}

/** Why {@link runAsNobody} cannot be used here; false where it can. */
export function nobodyRefused(): string | false {
  return process.getuid?.() === 0 ? false : 'NOT ROOT: run as root to test this'
}

/** Resolves when a process that was told to stop itself has done so; its last words come a moment before. */
export async function isStopped(pid: number): Promise<void> {
  for (;;) {
    const [, state] = /\) (\w) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8')) ?? []
    if (state === 'T') return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** A token as any backend would mint it, without the product's own code. */
export function tokenFor(
  secret: string,
  claims: { media_id: number; exp?: number; jti?: string },
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 600
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ user_id: 7, exp, ...claims })}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** The address of an archived file, each part of its path encoded. */
export function fileUrl(port: number, archivePath: string, token: string): string {
  const path = archivePath.split('/').map(encodeURIComponent).join('/')
  return `http://127.0.0.1:${port}/${path}/-?token=${token}`
}
