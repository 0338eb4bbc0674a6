import type { Run } from '../runs.ts'
import { clip } from './message.ts'
import type { Outgoing } from './post.ts'

/** What a service that waits for signs of life is told. `seen` is a test: it changes no state there. */
export interface Ping {
  sign: 'started' | 'up' | 'down' | 'seen'
  /** The same for the start and the end of a run: a UUID. */
  runKey: string
  text: string
  durationMs: number | null
}

/**
 * Which signs of life the runs of a sync give: its start and its end; but of a time in which every run fails only the first
 * failure and the success after it, however often it was tried.
 */
export function createPinger(): { started(run: Run): Ping | null; ended(run: Run): Ping | null } {
  let key: string | null = null
  let failing = false
  return {
    started(run) {
      if (!counts(run) || failing) return null
      // One run of a sync at a time goes on in a process; its id changes when it repeats a failure.
      key = crypto.randomUUID()
      return { sign: 'started', runKey: key, text: '', durationMs: null }
    },
    ended(run) {
      if (!counts(run)) return null
      const runKey = key ?? crypto.randomUUID()
      key = null
      const durationMs =
        run.endedAt === null ? null : run.endedAt.getTime() - run.startedAt.getTime()
      if (run.status === 'success' || run.status === 'partial') {
        failing = false
        return { sign: 'up', runKey, text: run.status, durationMs }
      }
      if (!isFailed(run) || failing) return null
      failing = true
      return { sign: 'down', runKey, text: run.error?.message ?? run.status, durationMs }
    },
  }
}

/** A run that a hook refused without saying "later" did not do what it is for. */
export function isFailed({ status, error }: Run): boolean {
  return status === 'failed' || (status === 'skipped' && error?.code === 'HOOK_FAILED')
}

function counts({ job, mode }: Run): boolean {
  return job === 'sync' && mode !== 'dry-run'
}

const endpoints = { started: '/start', up: '', down: '/fail', seen: '/log' } as const

/** @see https://healthchecks.io/docs/http_api/ */
export function healthchecksPing(url: URL, ping: Ping): Outgoing {
  const target = new URL(url)
  target.pathname = `${url.pathname.replace(/\/$/, '')}${endpoints[ping.sign]}`
  target.searchParams.set('rid', ping.runKey)
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'user-agent': 'strongroom' }
  return { url: target, method: 'POST', headers, body: clip(ping.text, 10_000) }
}

/**
 * A push monitor knows up and down, no start; null for what it has no word for.
 *
 * @see https://github.com/louislam/uptime-kuma/wiki/Push-Monitor (the parameters of /api/push)
 */
export function kumaPing(url: URL, ping: Ping): Outgoing | null {
  if (ping.sign === 'started') return null
  const target = new URL(url)
  target.search = ''
  target.searchParams.set('status', ping.sign === 'down' ? 'down' : 'up')
  target.searchParams.set('msg', clip(ping.text === '' ? 'OK' : ping.text, 200))
  target.searchParams.set('ping', ping.durationMs === null ? '' : `${ping.durationMs}`)
  return { url: target, method: 'GET', headers: { 'user-agent': 'strongroom' }, body: null }
}
