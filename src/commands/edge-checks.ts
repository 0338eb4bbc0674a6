import { type AddressOrigin, readEcho } from '../serve/doctor-echo.ts'
import { EDGE_RANGE, type EdgeAnswer, type EdgeAnswers } from './edge-answers.ts'

/** The file as it is in the archive. */
export interface EdgeFile {
  bytes: Buffer
  /** With its quotes. */
  etag: string
}

export interface EdgeFinding {
  /** `note`: it works, but could be better. */
  verdict: 'ok' | 'note' | 'fail'
  what: string
  /** The setting that is wrong, and how it must be. */
  setting: string[]
}

const bypass =
  'Cloudflare: Caching › Cache Rules: for this hostname, as the last rule, Cache eligibility "Bypass cache"'
const noRewriting =
  'Cloudflare: no Worker, Snippet or response-changing rule on this hostname; Speed › Optimization off for it'

const settings = {
  range: [bypass, noRewriting],
  etag: [
    'Cloudflare: Caching › Cache Rules: for this hostname, before the bypass rule, Respect strong ETags "On"',
    'Cloudflare: Rules › Compression Rules: for this hostname, "Disable compression"',
  ],
  bytes: [noRewriting],
  length: [noRewriting],
  cache: [
    bypass,
    'Cloudflare: no Page Rule "Cache Everything" and no Edge TTL that ignores Cache-Control for it',
  ],
  errors: [
    'Cloudflare: Caching › Cache Rules: no Edge TTL by status code for this hostname',
    bypass,
  ],
  head: [bypass, 'Cloudflare: Security › WAF: no rule that refuses or changes HEAD'],
  unnamed: [
    'Cloudflare: Rules › Settings › Managed Transforms: "Remove visitor IP headers" off; no Transform Rule removes cf-connecting-ip',
  ],
} as const

/** Judges what came through the edge once the file came at all; each cause is told once. */
export function judgeEdge(answers: EdgeAnswers, file: EdgeFile): EdgeFinding[] {
  const { early, late, whole, again, range, head, plain, plainAgain } = answers
  // Without it a cache can be told by what it says of itself only.
  const echoes = readEcho(whole.headers['x-strongroom-doctor']) !== null
  const cached = cacheProblem([again, range], { echoes })
  const finding = (ok: string, wrong: string | null, setting: readonly string[]): EdgeFinding =>
    wrong === null
      ? { verdict: 'ok', what: ok, setting: [] }
      : { verdict: 'fail', what: wrong, setting: [...setting] }
  return [
    finding('the bytes arrive as they are', bytesProblem(whole, file), settings.bytes),
    finding('a range comes alone (206)', rangeProblem(range, file), settings.range),
    finding('the ETag arrives strong', etagProblem([whole, range, head], file), settings.etag),
    finding('Content-Length arrives', lengthProblem(whole, range, file), settings.length),
    finding('nothing is answered from a cache', cached, settings.cache),
    finding('an error is not kept', errorsProblem(early, late), settings.errors),
    finding('HEAD is answered as GET is', headProblem(head, whole, { cached }), settings.head),
    addressFinding(whole),
    plainFinding([plain, plainAgain], { file, echoes }),
  ]
}

function isCompressed({ headers }: EdgeAnswer): boolean {
  return headers['content-encoding'] !== undefined
}

function bytesProblem(whole: EdgeAnswer, { bytes }: EdgeFile): string | null {
  if (isCompressed(whole) || whole.body.equals(bytes)) return null
  return `the file arrives changed: ${whole.body.length} bytes of ${bytes.length}, not the ones in the archive`
}

function rangeProblem({ status, headers, body }: EdgeAnswer, { bytes }: EdgeFile): string | null {
  const { first, last } = EDGE_RANGE
  if (status !== 206) return `Range is lost: ${status} with ${body.length} bytes instead of 206`
  const wanted = `bytes ${first}-${last}/${bytes.length}`
  if (headers['content-range'] !== wanted)
    return `Content-Range is ${headers['content-range'] ?? 'lost'} instead of ${wanted}`
  if (body.equals(bytes.subarray(first, last + 1))) return null
  return 'a range arrives with other bytes than the archive has there'
}

function etagProblem(answers: readonly EdgeAnswer[], { etag }: EdgeFile): string | null {
  for (const { status, headers } of answers) {
    // Its own check tells what became of it.
    if (status >= 400) continue
    const { etag: found = '', 'content-encoding': encoding } = headers
    if (encoding !== undefined) return `the file is compressed on the way (${encoding})`
    if (found.startsWith('W/')) return 'the ETag is weakened: no client can resume a download'
    if (found !== etag) return `the ETag is ${found === '' ? 'lost' : 'another one'}`
  }
  return null
}

function lengthProblem(whole: EdgeAnswer, range: EdgeAnswer, { bytes }: EdgeFile): string | null {
  // The compression that changes it has been told.
  if (isCompressed(whole)) return null
  const { first, last } = EDGE_RANGE
  const ofRange = range.status === 206 ? last - first + 1 : bytes.length
  for (const [{ headers }, wanted] of [
    [whole, bytes.length],
    [range, ofRange],
  ] as const) {
    const found = headers['content-length']
    if (found === undefined) return 'Content-Length is lost: no client can show how much is left'
    if (found !== String(wanted)) return `Content-Length is ${found} instead of ${wanted}`
  }
  return null
}

/** What an edge says that looked into its cache, or means to keep the answer there. */
function cacheProblem(
  answers: readonly EdgeAnswer[],
  { echoes }: { echoes: boolean },
): string | null {
  for (const { headers, nonce } of answers) {
    const status = cacheStatusOf(headers)
    if (echoes && readEcho(headers['x-strongroom-doctor'])?.nonce !== nonce)
      return `a read is answered from a cache (${status ?? 'which does not say so'}): links would outlive their tokens`
    if (status !== null && !/^(?:DYNAMIC|BYPASS|NONE)/i.test(status))
      return `the edge keeps files (its cache says ${status}): links would outlive their tokens`
  }
  return null
}

function cacheStatusOf(headers: EdgeAnswer['headers']): string | null {
  const status = headers['cf-cache-status'] ?? headers['x-cache-status'] ?? headers['x-cache']
  return status === undefined ? null : String(status)
}

function errorsProblem(early: EdgeAnswer, late: EdgeAnswer): string | null {
  if (late.status === 200) return null
  return `a link that was asked for too early (${early.status}) is still answered with ${late.status} now that its file is there`
}

/** Cache-Control is not among them: the rest of the token's life is less a second later. */
const alike = ['content-type', 'accept-ranges', 'last-modified', 'content-length'] as const

function headProblem(
  head: EdgeAnswer,
  whole: EdgeAnswer,
  { cached }: { cached: string | null },
): string | null {
  if (head.status !== whole.status) return `HEAD is answered with ${head.status}`
  const method = readEcho(head.headers['x-strongroom-doctor'])?.method
  // A cache asks with GET for what it means to keep, and has been told.
  if (method !== undefined && method !== 'HEAD' && cached === null)
    return `HEAD arrives here as ${method}: each one costs a whole read`
  const other = alike.find((name) => head.headers[name] !== whole.headers[name])
  return other === undefined ? null : `HEAD is answered with another ${other} than GET`
}

function addressFinding({ headers }: EdgeAnswer): EdgeFinding {
  const echo = readEcho(headers['x-strongroom-doctor'])
  if (echo === null)
    return {
      verdict: 'note',
      what: 'whether the visitor’s address arrives cannot be told',
      setting: ['the file server behind this address does not say how a request arrived'],
    }
  const { origin, address } = echo
  const throughCloudflare = headers['cf-ray'] !== undefined
  const findings: Record<AddressOrigin, () => EdgeFinding> = {
    named: () => ({
      verdict: 'ok',
      what: `the visitor’s address arrives: ${address}`,
      setting: [],
    }),
    untrusted: () => ({
      verdict: 'fail',
      what: `CF-Connecting-IP arrives, but its sender ${address} is not trusted: all visitors count as one`,
      setting: [`TRUSTED_PROXIES=${address} (of the file server, then restart it)`],
    }),
    unnamed: () => ({
      verdict: throughCloudflare ? 'fail' : 'note',
      what: `no visitor’s address arrives: all visitors count as ${address}`,
      setting: throughCloudflare
        ? [...settings.unnamed]
        : ['this answer did not come through Cloudflare, which would name the visitor'],
    }),
  }
  return findings[origin]()
}

/** Old links have this form; new ones do not, and need no more than the others do. */
function plainFinding(
  answers: readonly EdgeAnswer[],
  { file, echoes }: { file: EdgeFile; echoes: boolean },
): EdgeFinding {
  const [first] = answers
  const wrong = (first && rangeProblem(first, file)) ?? cacheProblem(answers, { echoes })
  if (wrong === null)
    return { verdict: 'ok', what: 'links that end in .mp4 work as well', setting: [] }
  return {
    verdict: 'note',
    what: `links that end in an extension suffer: ${wrong}`,
    setting: ['hand out links that end in /-, as "strongroom token" does', bypass],
  }
}
