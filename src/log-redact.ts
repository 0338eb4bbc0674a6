import { AppError, ERRORS, systemCode } from './errors.ts'

/** What JSON can say. */
export type Plain =
  | string
  | number
  | boolean
  | null
  | undefined
  | Plain[]
  | { [key: string]: Plain }

export interface Redactor {
  text(text: string): string
  /** A copy that JSON can say: strings redacted, errors spelt out, sizes and depths bounded. */
  fields(fields: Record<string, unknown>): { [key: string]: Plain }
}

const mask = '[secret]'
const limits = {
  depth: 6,
  entries: 100,
  characters: 8192,
  readCharacters: 65_536,
  causes: 5,
  stackLines: 20,
}

const secretName =
  'authorization|cookie|token|secret|password|passwd|pwd|pass|(?:access|api|private|secret|session)[-_]?key'
/** Field names whose values are secret whatever they hold. */
const secretKey = new RegExp(`(?:${secretName})$`, 'i')

/** Texts may be hostile: where a pattern may begin anywhere within what it looks through, that is bounded. */
const secretPatterns: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // The = as it stands in an address, in an address within that one, and so on.
  [/(token(?:=|%(?:25){0,8}3d))[^&\s"'<>#]+/gi, `$1${mask}`],
  [/(x-amz-(?:signature|credential|security-token)(?:=|%3d))[^&\s"'<>#]+/gi, `$1${mask}`],
  [/\b(authorization["']?\s*[:=]\s*["']?)[^"'\r\n]+/gi, `$1${mask}`],
  [/\b(bearer\s+)[\w.~+/=-]+/gi, `$1${mask}`],
  // JSON within a text, within JSON or not.
  [new RegExp(`((?:${secretName})\\\\*"\\s*:\\s*\\\\*")[^"\\\\]+`, 'gi'), `$1${mask}`],
  [/((?:password|passwd|pwd)=)(?:'[^']*'?|[^\s&"'<>]+)/gi, `$1${mask}`],
  // A JSON web token, wherever it strayed; within other text, or with its dots encoded, with a header of usual length.
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, mask],
  [/eyJ[\w-]{1,1024}(?:\.|%(?:25){0,8}2e)[\w-]+(?:\.|%(?:25){0,8}2e)[\w-]*/gi, mask],
  [/(\/\/)[^\s/?#@"']{1,512}@/g, `$1${mask}@`],
  // Passwords of databases stand there with whatever characters they have.
  [/((?:postgres(?:ql)?|mysql|mariadb):\/\/)[^\s"'<>]{1,512}@/gi, `$1${mask}@`],
]

/**
 * The one rule by which secrets stay out of logs.
 *
 * @param secrets masked wherever they appear; those under four characters cannot be told from ordinary text
 */
export function createRedactor(secrets: readonly string[]): Redactor {
  const known = [
    ...new Set(secrets.filter((secret) => secret.length >= 4).flatMap(spellings)),
  ].sort((a, b) => b.length - a.length)
  const longest = known[0]?.length ?? 0

  const text = (raw: string): string => {
    const bounded = raw.slice(0, limits.readCharacters)
    const unknown = known.reduce((rest, secret) => rest.replaceAll(secret, mask), bounded)
    const clean = secretPatterns.reduce(
      (rest, [found, shown]) => rest.replace(found, shown),
      unknown,
    )
    if (raw.length <= limits.characters) return clean
    // A secret may have been cut in two, and stand at the end where what came before it was masked.
    const whole = raw.length > bounded.length ? clean.slice(0, -longest || undefined) : clean
    return `${whole.slice(0, limits.characters)}… (${raw.length} characters)`
  }
  return { text, fields: (fields) => plainObject(fields, { text, ancestors: [] }) }
}

/** As it is, and as it stands in JSON and in addresses. */
function spellings(secret: string): string[] {
  const encoded = encodeURIComponent(secret.toWellFormed())
  const small = encoded.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())
  return [secret, JSON.stringify(secret).slice(1, -1), encoded, small]
}

interface Walk {
  text: (raw: string) => string
  ancestors: readonly object[]
}

function plain(value: unknown, walk: Walk): Plain {
  switch (typeof value) {
    case 'string':
      return walk.text(value)
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return value.toString()
    case 'object':
      return value === null ? null : plainOfObject(value, walk)
    default:
      return undefined
  }
}

function plainOfObject(value: object, walk: Walk): Plain {
  if (walk.ancestors.includes(value)) return '[circular]'
  if (walk.ancestors.length >= limits.depth) return '[too deep]'
  const inner = { ...walk, ancestors: [...walk.ancestors, value] }
  if (value instanceof Error) return plainError(value, inner)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof URL) return walk.text(value.href)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Map) return plainObject(Object.fromEntries(value), inner)
  if (Array.isArray(value) || value instanceof Set) {
    const entries = [...value].slice(0, limits.entries)
    // Names and values of headers come in turn in some lists.
    const isSecret = (at: number) => typeof entries[at] === 'string' && secretKey.test(entries[at])
    return entries.map((entry, at) => (isSecret(at - 1) ? mask : (plain(entry, inner) ?? null)))
  }
  return plainObject(value, inner)
}

function plainObject(fields: object, walk: Walk): { [key: string]: Plain } {
  const entries = Object.keys(fields)
    .slice(0, limits.entries)
    .map((key): [string, Plain] => {
      const value = propertyOf(fields, key)
      const secret = secretKey.test(key) && value !== null && value !== undefined
      return [walk.text(key), secret ? mask : plain(value, walk)]
    })
  return Object.fromEntries(entries)
}

function propertyOf(fields: object, key: string): unknown {
  try {
    return (fields as Record<string, unknown>)[key]
  } catch {
    // A getter that throws is not worth a lost line.
    return '[unreadable]'
  }
}

/** Stacks only where the error itself is the bug: INTERNAL, or what no adapter translated. */
function plainError(error: Error, walk: Walk): Plain {
  const expected = error instanceof AppError && error.code !== 'INTERNAL'
  const causes: Plain[] = []
  const seen = new Set<unknown>([error])
  let cause = error.cause
  while (cause !== undefined && !seen.has(cause) && causes.length < limits.causes) {
    seen.add(cause)
    causes.push(cause instanceof Error ? errorFacts(cause, !expected, walk) : plain(cause, walk))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  const facts = errorFacts(error, !expected, walk)
  if (error instanceof AppError) facts.hint = walk.text(error.hint)
  return causes.length === 0 ? facts : { ...facts, causes }
}

function errorFacts(error: Error, withStack: boolean, walk: Walk): { [key: string]: Plain } {
  const stack = withStack && typeof error.stack === 'string' ? error.stack : null
  const errors = error instanceof AggregateError ? error.errors.slice(0, 3) : []
  const facts: { [key: string]: Plain } = {
    code: plain(systemCode(error) ?? error.name, walk),
    message: walk.text(String(error.message)),
  }
  // What the table says anyway is told once, for the error itself.
  if (error instanceof AppError && error.hint !== ERRORS[error.code].next)
    facts.hint = walk.text(error.hint)
  if (errors.length > 0) {
    facts.errors = errors.map((one) => walk.text(one instanceof Error ? one.message : String(one)))
  }
  if (stack !== null) {
    const lines = stack.split('\n').slice(0, limits.stackLines)
    facts.stack = walk.text(lines.join('\n'))
  }
  return facts
}
