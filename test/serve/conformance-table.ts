/** Reads docs/http.md, whose tables are the cases of the conformance test. */

export interface Row {
  rfc: string
  name: string
  request: string
  answer: string
  /** Null where it answers the same. */
  nginx: { answer: string; why: string } | null
}

/** What the placeholders of a request stand for, by name. */
export type Words = Readonly<Record<string, string>>

/** @throws for a row that is none */
export function readRows(markdown: string): Row[] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('| 9'))
    .map((line) => {
      const cells = line.split('|').slice(1, -1)
      const [rfc = '', name = '', request = '', answer = '', nginx = ''] = cells
      if (cells.length !== 5 || !/^ 91\d\d \d+(?:\.\d+)* $/.test(rfc)) throw new Error(line)
      return {
        rfc: rfc.trim(),
        name: name.trim(),
        request: codeOf(request),
        answer: codeOf(answer),
        nginx: differenceOf(nginx.trim()),
      }
    })
}

/** The bytes of a row's request. */
export function bytesOf(request: string, words: Words): Buffer {
  const repeated = request.replace(
    /\{(\d+)×((?:[^{}]|\{\w+\})*)\}/g,
    (_all, times: string, text: string) => text.repeat(Number(times)),
  )
  const spelt = isRaw(request) ? repeated : withFrame(repeated)
  const filled = spelt.replace(/\{(\w+)\}/g, (all, name: string) => words[name] ?? all)
  return Buffer.from(filled.replace(/\\(?:x([0-9a-f]{2})|(.))/g, escaped), 'latin1')
}

/** Whether it is given byte by byte. */
export function isRaw(request: string): boolean {
  return request.includes('HTTP/') || request.includes('\\r')
}

function withFrame(request: string): string {
  const lines = request.split('\\n')
  const [first = ''] = lines
  const start = /^[A-Za-z]+ /.test(first) ? (lines.shift() ?? '') : 'GET {f}'
  if (!lines.some((line) => /^host:/i.test(line))) lines.unshift('Host: x')
  return [`${start} HTTP/1.1`, ...lines, '', ''].join('\\r\\n')
}

function escaped(_all: string, hex: string | undefined, letter: string): string {
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
  const known: Record<string, string> = { r: '\r', n: '\n', t: '\t', '0': '\0' }
  const char = known[letter]
  if (char === undefined) throw new Error(`no escape: \\${letter}`)
  return char
}

function codeOf(cell: string): string {
  const code = /^ `(.*)` $/.exec(cell)?.[1]
  if (code === undefined) throw new Error(`no code: ${cell}`)
  return code
}

function differenceOf(cell: string): Row['nginx'] {
  if (cell === '') return null
  const [, answer, why] = /^`(.*)`: (.{10,})$/.exec(cell) ?? []
  if (answer === undefined || why === undefined) throw new Error(`no explanation: ${cell}`)
  return { answer, why }
}
