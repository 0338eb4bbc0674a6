/** A real browser without a screen, driven over its own protocol (https://chromedevtools.github.io/devtools-protocol/). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Scope, withFolder } from './scopes.ts'

export interface Page {
  /** Runs an expression in the page, waits for its promise, and returns its value. */
  evaluate(expression: string): Promise<unknown>
}

interface Reply {
  id?: number
  result?: Record<string, unknown> & { result?: { value?: unknown }; exceptionDetails?: unknown }
  error?: { message: string }
}

const flags = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ...['--disable-dev-shm-usage', '--mute-audio', '--autoplay-policy=no-user-gesture-required'],
  '--remote-debugging-port=0',
]

/** Opens one page at `url` in a browser of its own, which is gone after the test. */
export async function openPage(t: Scope, url: string): Promise<Page> {
  const home = await withFolder(t)
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home }
  const args = [...flags, `--user-data-dir=${home}/profile`, 'about:blank']
  const child = spawn('chromium', args, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  const gone = once(child, 'close').catch((cause: unknown) => {
    throw new Error('chromium is missing: run scripts/setup', { cause })
  })
  t.after(async () => {
    // The whole group: its helpers would outlive it.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    await gone
  })
  let said = ''
  const endpoint = await Promise.race([
    gone.then(() => Promise.reject(new Error(`chromium ended: ${said}`))),
    new Promise<string>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text
        const [, address] = /DevTools listening on (ws:\S+)\n/.exec(said) ?? []
        if (address !== undefined) resolve(address)
      })
    }),
  ])
  const send = await connectTo(endpoint)
  const { targetInfos } = await send('Target.getTargets', {})
  const targetId = firstPage(targetInfos)
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
  const inPage = (method: string, params: object) => send(method, params, String(sessionId))
  const evaluate: Page['evaluate'] = async (expression) => {
    const how = { expression, awaitPromise: true, returnByValue: true, userGesture: true }
    const { result, exceptionDetails } = await inPage('Runtime.evaluate', how)
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return result?.value
  }
  await inPage('Page.navigate', { url })
  await evaluate("document.readyState === 'complete' || new Promise((done) => (onload = done))")
  return { evaluate }
}

async function connectTo(endpoint: string) {
  const socket = new WebSocket(endpoint)
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = reject
  })
  const waiting = new Map<number, (reply: Reply) => void>()
  socket.onmessage = ({ data }) => {
    const reply = JSON.parse(String(data)) as Reply
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply)
  }
  let lastId = 0
  return async (method: string, params: object, sessionId?: string) => {
    const id = ++lastId
    const reply = await new Promise<Reply>((resolve) => {
      waiting.set(id, resolve)
      socket.onclose = () => resolve({ error: { message: 'the browser went away' } })
      socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }))
    })
    if (reply.error !== undefined) throw new Error(`${method}: ${reply.error.message}`)
    return reply.result ?? {}
  }
}

function firstPage(targets: unknown): string {
  const pages = targets as { type: string; targetId: string }[]
  const page = pages.find(({ type }) => type === 'page')
  if (page === undefined) throw new Error('the browser has no page')
  return page.targetId
}
