import { once } from 'node:events'
import { connect } from 'node:net'

export interface PipelinedAnswer {
  status: number
  /** Status line and headers, without the second in which it was sent. */
  head: string
  body: string
}

/** One keep-alive connection on which many requests are sent at once: the cheapest way to ask a server much. */
export interface Pipeline {
  /**
   * Sends GET or HEAD for each target, as it is.
   *
   * @returns the answers in the order of the targets; rejects when the server ends the connection before the last
   */
  ask(method: 'GET' | 'HEAD', targets: readonly string[]): Promise<PipelinedAnswer[]>
  close(): void
}

export async function openPipeline(port: number): Promise<Pipeline> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let text = ''
  let wake: (() => void) | null = null
  let ended: Error | null = null
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    text += chunk
    wake?.()
  })
  const end = (error?: unknown) => {
    ended ??= new Error('the server ended the connection', { cause: error })
    wake?.()
  }
  socket.on('error', end)
  socket.on('close', () => end())

  const next = async (hasBody: boolean): Promise<PipelinedAnswer> => {
    for (;;) {
      const answer = readAnswer(text, hasBody)
      if (answer !== null) {
        text = text.slice(answer.length)
        return answer
      }
      if (ended) throw ended
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    async ask(method, targets) {
      const requests = targets.map((target) => `${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
      socket.write(requests.join(''), 'latin1')
      const answers: PipelinedAnswer[] = []
      for (const _ of targets) answers.push(await next(method === 'GET'))
      return answers
    },
    close: () => socket.destroy(),
  }
}

function readAnswer(text: string, hasBody: boolean): (PipelinedAnswer & { length: number }) | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = text.slice(0, headEnd)
  const bodyStart = headEnd + 4
  const declared = Number(/\r\nContent-Length: (\d+)/i.exec(head)?.[1] ?? 0)
  const length = bodyStart + (hasBody ? declared : 0)
  if (text.length < length) return null
  return {
    status: Number(head.slice(9, 12)),
    head: head.replace(/\r\nDate: [^\r]*/, ''),
    body: text.slice(bodyStart, length),
    length,
  }
}
