/** A real browser without a screen, driven over its own protocol (https://chromedevtools.github.io/devtools-protocol/). */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { processesEnd } from './processes.ts'
import type { Scope } from './scopes.ts'

export interface Page {
  /** Runs an expression in the page, waits for its promise, and returns its value. */
  evaluate(expression: string): Promise<unknown>
  /** Loads another page and waits until it is whole; also after a press that leads to one. */
  go(url: string): Promise<void>
  /** Does what leads to another page, and waits until that is whole. */
  follow(expression: string): Promise<void>
  /** A command of the browser's protocol, for this page. */
  command(method: string, params: object): Promise<Record<string, unknown>>
}

interface Reply {
  id?: number
  /** Of an event, which answers nothing. */
  method?: string
  result?: Record<string, unknown> & { result?: { value?: unknown }; exceptionDetails?: unknown }
  error?: { message: string }
}

const flags = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ...['--disable-dev-shm-usage', '--mute-audio', '--autoplay-policy=no-user-gesture-required'],
  '--remote-debugging-pipe',
]

/** Opens one page at `url` in a browser of its own, which is gone after the test. */
export async function openPage(t: Scope, url: string): Promise<Page> {
  const home = await mkdtemp(join(tmpdir(), 'strongroom-chromium-'))
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home }
  const args = [...flags, `--user-data-dir=${home}/profile`, 'about:blank']
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] as const
  const child = spawn('chromium', args, { env, stdio: [...stdio] })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const gone = once(child, 'close').catch((cause: unknown) => {
    throw new Error('chromium is missing: run scripts/setup', { cause })
  })
  // One hook, because a browser that still lives writes into the folder that is to go.
  t.after(async () => {
    child.kill('SIGKILL')
    await gone
    // Its helpers end by themselves, but those that keep the profile write until then.
    await processesEnd(home)
    await rm(home, { recursive: true, force: true })
  })
  const { send, heard } = speakOver(child, () => said)
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
  const inPage = (method: string, params: object) => send(method, params, String(sessionId))
  const evaluate: Page['evaluate'] = async (expression) => {
    const how = { expression, awaitPromise: true, returnByValue: true, userGesture: true }
    const { result, exceptionDetails } = await inPage('Runtime.evaluate', how)
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return result?.value
  }
  const whole = async () => {
    await evaluate("document.readyState === 'complete' || new Promise((done) => (onload = done))")
  }
  await inPage('Page.enable', {})
  const arrives = async (leave: () => Promise<unknown>) => {
    const loaded = heard('Page.loadEventFired')
    await leave()
    await loaded
    await whole()
  }
  const page: Page = {
    evaluate,
    go: (to) => arrives(() => inPage('Page.navigate', { url: to })),
    follow: (expression) => arrives(() => evaluate(`void (${expression})`)),
    command: inPage,
  }
  await page.go(url)
  return page
}

/** Messages end with a NUL. The browser ends when its pipes do, so that it never outlives the tests. */
function speakOver(child: ChildProcess, said: () => string) {
  const [, , , commands, replies] = child.stdio
  if (!(commands instanceof Writable && replies instanceof Readable)) throw new Error('no pipes')
  const waiting = new Map<number, (reply: Reply) => void>()
  const listening = new Map<string, () => void>()
  let rest = ''
  replies.setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0')
    rest = messages.pop() ?? ''
    for (const message of messages) {
      const reply = JSON.parse(message) as Reply
      if (reply.id !== undefined) waiting.get(reply.id)?.(reply)
      else if (reply.method !== undefined) listening.get(reply.method)?.()
    }
  })
  const end = () => {
    const error = { message: `the browser went away: ${said()}` }
    for (const answer of waiting.values()) answer({ error })
  }
  child.once('close', end).once('error', end)
  commands.on('error', end)
  let lastId = 0
  const send = async (method: string, params: object, sessionId?: string) => {
    const id = ++lastId
    const reply = await new Promise<Reply>((resolve) => {
      waiting.set(id, resolve)
      commands.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`)
    })
    waiting.delete(id)
    if (reply.error !== undefined) throw new Error(`${method}: ${reply.error.message}`)
    return reply.result ?? {}
  }
  /** Resolves when this event comes the next time. */
  const heard = (event: string) =>
    new Promise<void>((resolve) => {
      listening.set(event, () => {
        listening.delete(event)
        resolve()
      })
    })
  return { send, heard }
}
