/** Requests as bytes, and answers read as strictly as they are written. */
import { once } from 'node:events'
import { connect, type NetConnectOpts } from 'node:net'

export interface RawAnswer {
  /** 0 for bytes without a head, as HTTP/0.9 has them. */
  status: number
  /** Names in lower case; a name that comes twice is an error. */
  headers: ReadonlyMap<string, string>
  body: Buffer
  /** A length was told, but no byte of a body came. */
  headOnly: boolean
}

/** Sends bytes, ends its own side too if `half`, and waits for the other side to end the connection. */
export async function sendRaw(
  where: NetConnectOpts,
  bytes: Buffer,
  { half = false }: { half?: boolean } = {},
): Promise<RawAnswer[]> {
  const socket = connect({ ...where, allowHalfOpen: true })
  // The other side may close while we still write; what it said before counts.
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => void chunks.push(chunk))
  const over = Promise.race([once(socket, 'end'), once(socket, 'close')])
  socket.write(bytes)
  if (half) socket.end()
  await over
  socket.destroy()
  return parseAnswers(Buffer.concat(chunks))
}

/** @throws for anything that is no series of whole answers */
export function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = []
  if (bytes.length > 0 && !isHead(bytes))
    return [{ status: 0, headers: new Map(), body: bytes, headOnly: false }]
  let rest = bytes
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`no whole answer: ${rest.toString('latin1', 0, 200)}`)
    const head = parseHead(rest.toString('latin1', 0, end))
    const after = rest.subarray(end + 4)
    const length = Number(head.headers.get('content-length') ?? 0)
    // No body of the tests looks like a head: this is how an answer to HEAD is told.
    const headOnly =
      length > 0 && (after.length === 0 || after.toString('latin1', 0, 5) === 'HTTP/')
    if (!headOnly && after.length < length)
      throw new Error(`${length} bytes told, ${after.length} sent`)
    const taken = headOnly ? 0 : length
    answers.push({ ...head, headOnly, body: after.subarray(0, taken) })
    rest = after.subarray(taken)
  }
  return answers
}

function isHead(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 5) === 'HTTP/'
}

function parseHead(text: string): Pick<RawAnswer, 'status' | 'headers'> {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) [^\r\n]*$/.exec(first)?.[1]
  if (status === undefined) throw new Error(`no status line: ${first}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([\w!#$%&'*+\-.^`|~]+): ?([\t\x20-\x7e]*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`no header line: ${line}`)
    if (headers.has(name.toLowerCase())) throw new Error(`${name} comes twice`)
    headers.set(name.toLowerCase(), value)
  }
  return { status: Number(status), headers }
}
