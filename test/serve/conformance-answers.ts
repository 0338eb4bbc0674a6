/** Says in the words of docs/http.md what came over a connection, and what is wrong with it. */
import type { RawAnswer } from '../support/raw-http.ts'

/** The file that a request is about. */
export interface Subject {
  sizeBytes: number
  /** @returns its bytes from `start` on */
  read(start: number, length: number): Buffer
}

/** @param still what the last answer holds when the connection was still good after the row's own requests */
export function summarise(answers: readonly RawAnswer[], subject: Subject, still: Buffer): string {
  const last = answers.at(-1)
  const open = last !== undefined && last.status === 200 && last.body.equals(still)
  const own = open ? answers.slice(0, -1) : answers
  return `${own.map((answer) => wordsFor(answer, subject)).join(' + ')}${open ? '' : ', closed'}`
}

function wordsFor(answer: RawAnswer, subject: Subject): string {
  const { status, headers, headOnly, body } = answer
  if (status === 200) {
    const told = Number(headers.get('content-length'))
    if (told !== subject.sizeBytes) return `200 of ${told} bytes`
    if (headOnly) return '200 head'
    return body.equals(subject.read(0, subject.sizeBytes)) ? '200 whole' : '200 of wrong bytes'
  }
  if (status === 0) return 'bytes without a head'
  if (status === 206) return `206 ${headOnly ? 'head' : partsOf(answer, subject).join(' & ')}`
  if (status === 416)
    return `416 ${headers.get('content-range')?.replace('bytes ', '') ?? ''}`.trim()
  if (status === 405) return `405 ${headers.get('allow') ?? ''}`.trim()
  return headOnly ? `${status} head` : String(status)
}

function partsOf({ headers, body }: RawAnswer, subject: Subject): string[] {
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(
    headers.get('content-type') ?? '',
  )?.[1]
  if (boundary === undefined) return [partOf(headers.get('content-range'), body, subject)]
  const text = body.toString('latin1')
  const [before, ...rest] = `\r\n${text.replace(/^\r\n/, '')}`.split(`\r\n--${boundary}`)
  if (before !== '' || rest.pop() !== '--\r\n') return ['parts that are not framed']
  return rest.map((part) => {
    const [, head = '', bytes = ''] = /^\r\n([\s\S]*?)\r\n\r\n([\s\S]*)$/.exec(part) ?? []
    const lines = head.split('\r\n').map((line) => /^([\w-]+): (.+)$/.exec(line) ?? [])
    const fields = new Map(lines.map(([, name = '', value = '']) => [name.toLowerCase(), value]))
    if (!fields.has('content-type')) return 'a part without its type'
    return partOf(fields.get('content-range'), Buffer.from(bytes, 'latin1'), subject)
  })
}

function partOf(contentRange: string | undefined, body: Buffer, subject: Subject): string {
  const [, start, end, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? '') ?? []
  if (Number(size) !== subject.sizeBytes) return `a part with ${contentRange}`
  const wanted = subject.read(Number(start), Number(end) - Number(start) + 1)
  return `${start}-${end}${body.equals(wanted) ? '' : ' of wrong bytes'}`
}

const onEveryAnswer = [
  'date',
  'x-content-type-options',
  'referrer-policy',
  'content-security-policy',
]
const onFiles = ['etag', 'last-modified', 'cache-control', 'accept-ranges', 'content-type']
const ofTheBody = ['content-type', 'content-length', 'content-disposition', 'accept-ranges']
const required: Record<number, string[]> = {
  200: [...onFiles, 'content-length', 'content-disposition', 'repr-digest'],
  206: [...onFiles, 'content-length', 'content-disposition', 'repr-digest'],
  304: ['etag', 'last-modified', 'cache-control'],
  405: ['allow'],
  416: ['content-range'],
}

/** What every answer of ours must have and must not have, whatever was asked. */
export function faultsOf({ status, headers }: RawAnswer): string[] {
  const missing = [...onEveryAnswer, ...(required[status] ?? [])].filter(
    (name) => !headers.has(name),
  )
  const faults = missing.map((name) => `${status} without ${name}`)
  const absent = status === 304 ? ofTheBody : ['transfer-encoding', 'content-encoding']
  faults.push(...absent.filter((name) => headers.has(name)).map((name) => `${status} with ${name}`))
  if (status !== 304 && !headers.has('content-length')) faults.push(`${status} of unknown length`)
  const cached = headers.get('cache-control') ?? ''
  const right = status < 400 ? /^private, max-age=\d+, no-transform$/ : /^no-store$/
  if (!right.test(cached)) faults.push(`${status} with Cache-Control: ${cached}`)
  if (headers.get('cloudflare-cdn-cache-control') !== 'no-store')
    faults.push(`${status} that the edge may keep`)
  if (status >= 400 && headers.has('etag')) faults.push(`${status} with an ETag`)
  const isMultipart = headers.get('content-type')?.startsWith('multipart/') ?? false
  if (status === 206 && headers.has('content-range') === isMultipart)
    faults.push('206 with Content-Range and parts, or without both')
  return faults
}
