import type { ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import { type PartName, partNames, parts, type Shown } from './pages/overview.ts'
import type { PulseSource } from './pulse.ts'

/** Pages that are looked at, at one time; the next one shows what was when it was loaded. */
const MOST_VIEWERS = 50
/** Below what proxies take for a dead connection. */
const HEARTBEAT_MS = 15_000
/** Who reads so little is gone. */
const MOST_UNREAD_BYTES = 512 * 1024

export interface Viewer {
  outgoing: ServerResponse
  /** To be called when the viewer took something. */
  moved(): void
  /** Nothing more may be told. */
  isOver(): boolean
}

export interface EventStreams {
  /** Answers with server-sent events until the viewer goes. @throws TOO_MANY_STREAMS */
  open(viewer: Viewer, headers: Readonly<Record<string, string>>): Promise<void>
  /** Ends all of them. */
  close(): void
}

/**
 * Tells every viewer what has changed on the first page: each part is made once for all of them, and sent when it is not
 * what was sent before (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 */
export function createEventStreams(
  pulse: PulseSource,
  show: (pulse: Awaited<ReturnType<PulseSource['now']>>) => Promise<Shown>,
): EventStreams {
  const viewers = new Set<Viewer>()
  const sent = new Map<PartName, string>()
  let unlisten: (() => void) | null = null
  let heartbeat: NodeJS.Timeout | null = null

  const send = ({ outgoing, moved }: Viewer, text: string) => {
    if (outgoing.writableLength > MOST_UNREAD_BYTES) return void outgoing.destroy()
    outgoing.write(text, (error) => {
      if (!error) moved()
    })
  }
  const hear = async (now: Awaited<ReturnType<PulseSource['now']>>) => {
    const shown = await show(now)
    const made = partNames.map(async (name) => [name, String(await parts[name](shown))] as const)
    const changed = (await Promise.all(made)).filter(([name, text]) => sent.get(name) !== text)
    for (const [name, text] of changed) sent.set(name, text)
    const news = changed.map(([name, text]) => eventOf(name, text)).join('')
    for (const viewer of viewers) {
      if (viewer.isOver()) end(viewer)
      else if (news !== '') send(viewer, news)
    }
  }
  const leave = (viewer: Viewer) => {
    viewers.delete(viewer)
    if (viewers.size > 0) return
    unlisten?.()
    unlisten = null
    clearInterval(heartbeat ?? undefined)
    heartbeat = null
    sent.clear()
  }
  // Who reads slowly may take a while to close, and must be sent nothing after the end.
  const end = (viewer: Viewer) => {
    leave(viewer)
    viewer.outgoing.end()
  }
  const close = () => {
    for (const viewer of [...viewers]) end(viewer)
  }
  return {
    async open(viewer, headers) {
      if (viewers.size >= MOST_VIEWERS)
        throw new AppError('TOO_MANY_STREAMS', 'too many pages are being looked at')
      const { outgoing } = viewer
      outgoing.writeHead(200, { ...headers, 'Content-Type': 'text/event-stream' })
      viewers.add(viewer)
      outgoing.once('close', () => leave(viewer))
      send(viewer, 'retry: 3000\n\n')
      for (const [name, text] of sent) send(viewer, eventOf(name, text))
      heartbeat ??= setInterval(() => {
        for (const one of viewers) send(one, ': still here\n\n')
      }, HEARTBEAT_MS).unref()
      if (unlisten !== null) return
      // Whatever fails here ends the streams, and the pages ask again.
      unlisten = pulse.listen((now) => void hear(now).catch(close))
      await hear(await pulse.now()).catch(close)
    },
    close,
  }
}

function eventOf(name: string, html: string): string {
  return `event: part\ndata: ${JSON.stringify({ name, html })}\n\n`
}
