import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { AppError, systemCode } from '../errors.ts'
import type { EdgeAnswer } from './edge-answers.ts'
import type { EdgeFinding } from './edge-checks.ts'

const fail = (what: string, ...setting: string[]): EdgeFinding => ({
  verdict: 'fail',
  what,
  setting,
})

/** Why nothing answered at all, or not to its end. */
export function unreachable(url: string, cause: unknown): AppError {
  const code = systemCode(cause) ?? (cause instanceof Error ? cause.name : 'unknown')
  const hint = hintOf(code)
  const more = hint === null ? { cause } : { cause, hint }
  return new AppError('EDGE_UNREACHABLE', `nothing answers at ${url} (${code})`, more)
}

function hintOf(code: string): string | null {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'the name is not known: add the public hostname to the tunnel, and check it'
  if (/CERT|SSL|TLS|ISSUER|SIGNATURE/.test(code))
    return 'its certificate is not believed: Cloudflare: SSL/TLS › Edge Certificates'
  return null
}

/** @returns null when a Strongroom answered that it has no such file: it knows the secret, and nothing is in the way */
export function judgeReach(url: string, early: EdgeAnswer): EdgeFinding | null {
  const code = errorCodeOf(early)
  if (early.status === 404 && code === 'NOT_FOUND') return null
  return code === null ? ofTheWay(url, early) : ofStrongroom(url, early, code)
}

/** @returns null when the file came */
export function judgeFound(url: string, whole: EdgeAnswer): EdgeFinding | null {
  if (whole.status === 200) return null
  if (whole.status === 404 && errorCodeOf(whole) === 'NOT_FOUND')
    return fail(
      `the file server behind ${url} serves another archive than this ARCHIVE_DIR`,
      'run doctor where that file server runs, with its settings',
    )
  return judgeReach(url, whole)
}

/** Only our own errors have a code in JSON. */
function errorCodeOf(answer: EdgeAnswer): string | null {
  return /^\{"error":"([A-Z_]+)"/.exec(textOf(answer))?.[1] ?? null
}

/** The beginning of a body; edges compress small texts too. */
function textOf({ headers, body }: EdgeAnswer): string {
  const encoding = headers['content-encoding']
  const limit = { maxOutputLength: 65_536 }
  try {
    const plain =
      encoding === 'br'
        ? brotliDecompressSync(body, limit)
        : encoding === 'gzip'
          ? gunzipSync(body, limit)
          : body
    return plain.toString('latin1', 0, 200)
  } catch {
    // Larger than any error of ours, or not what it says it is.
    return ''
  }
}

function ofStrongroom(url: string, { status }: EdgeAnswer, code: string): EdgeFinding {
  if (code === 'TOKEN_INVALID')
    return fail(
      `the file server behind ${url} does not believe a token of this UNRAID_TUNNEL_SECRET`,
      'give both the same secret, TOKEN_AUDIENCE and TOKEN_ISSUER; and compare the clocks',
    )
  if (code === 'REQUEST_INVALID')
    return fail(
      `the link arrives changed (${status})`,
      'Cloudflare: no Transform Rule, Redirect Rule or Page Rule that changes path or query of this hostname',
    )
  return fail(`the file server behind ${url} answers ${status} ${code}`, 'look at its log')
}

function ofTheWay(url: string, { status, headers }: EdgeAnswer): EdgeFinding {
  const location = (headers.location ?? '').replace(/[?#].*/s, '')
  if (location.includes('.cloudflareaccess.com'))
    return fail(
      `a login stands before ${url}`,
      'Cloudflare: Zero Trust › Access › Applications: none for this hostname; the token is the key',
    )
  if (status >= 300 && status < 400)
    return fail(
      `${url} leads elsewhere: ${status} to ${location}`,
      'use that address as PUBLIC_URL',
    )
  if (headers['cf-mitigated'] !== undefined || (status === 403 && headers['cf-ray'] !== undefined))
    return fail(
      `the edge refuses visitors (${status})`,
      'Cloudflare: Security › Bots: Bot Fight Mode off, or a WAF custom rule that skips it for this hostname',
    )
  if (status >= 500)
    return fail(
      `the edge does not reach the file server (${status})`,
      'Cloudflare: Zero Trust › Networks › Tunnels: connected, and its public hostname leads to http://HOST:SERVER_PORT',
    )
  return fail(
    `something other than Strongroom answers at ${url} (${status})`,
    'Cloudflare: Zero Trust › Networks › Tunnels: the public hostname must lead to http://HOST:SERVER_PORT',
  )
}
