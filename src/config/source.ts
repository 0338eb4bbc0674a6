import { systemCode } from '../errors.ts'
import { databaseUrl } from './database-url.ts'
import { type SettingName, settings } from './settings.ts'
import { warnOfStrangers } from './strangers.ts'

export type Environment = Readonly<Record<string, string | undefined>>
/** Reads a whole text file; may throw anything. */
export type ReadFile = (path: string) => string

export type ValueSource = 'env' | 'file' | 'default' | `alias ${string}`

/** What was found for one setting, before it is read. */
export interface Found {
  text: string
  /** The variable that it came from, as people must look for it. */
  variable: string
  source: ValueSource
}

/** One thing that is wrong, in words that never contain a secret. */
export interface Problem {
  variable: string
  wrong: string
  example: string | null
}

export interface FoundSettings {
  found: ReadonlyMap<SettingName, Found>
  problems: Problem[]
  warnings: string[]
}

export const settingNames = Object.keys(settings) as SettingName[]

interface Unreadable {
  variable: string
  path: string
  reason: string
}

/** Looks every setting up under its names and their `_FILE` forms, then spreads DATABASE_URL over the DB_ settings. */
export function findSettings(env: Environment, readFile: ReadFile): FoundSettings {
  const found = new Map<SettingName, Found>()
  const unreadable: Unreadable[] = []
  const warnings: string[] = []
  for (const name of settingNames) {
    const candidates = namesOf(name).flatMap((variable) => {
      const candidate = lookUp(name, variable, { env, readFile, unreadable })
      return candidate ? [candidate] : []
    })
    const [first, ...others] = candidates
    if (!first) continue
    found.set(name, first)
    if (others.some((other) => other.text !== first.text)) {
      const unused = others.map((other) => other.variable).join(' and ')
      warnings.push(`${first.variable} is used; ${unused} has another value and is ignored`)
    }
    warnings.push(...oddities(name, first))
  }
  spreadDatabaseUrl(found, warnings)
  const secrets = secretTexts(found)
  const problems = unreadable.map((file) => unreadableProblem(file, secrets))
  const set = Object.keys(env).filter((name) => env[name])
  warnings.push(...warnOfStrangers(set, settingNames.flatMap(namesOf)))
  return { found, problems, warnings }
}

/** The texts of all secret settings, longest first, as far as they are long enough to be looked for. */
export function secretTexts(found: ReadonlyMap<SettingName, Found>): string[] {
  const secrets = [...found].filter(([name]) => isSecret(name)).map(([, { text }]) => text)
  return secrets.filter((secret) => secret.length >= 4).sort((a, b) => b.length - a.length)
}

export function isSecret(name: SettingName): boolean {
  return 'secret' in settings[name]
}

function namesOf(name: SettingName): string[] {
  const setting = settings[name]
  return [name, ...('aliases' in setting ? setting.aliases : [])]
}

interface LookUp {
  env: Environment
  readFile: ReadFile
  unreadable: Unreadable[]
}

function lookUp(name: SettingName, variable: string, { env, ...files }: LookUp): Found | null {
  const fileVariable = `${variable}_FILE`
  const path = env[fileVariable]?.trim() ?? ''
  if (path !== '') {
    const text = readTrimmed(path, fileVariable, files)
    // An unreadable file stands for itself: falling back to another value would hide the mistake.
    return { text, variable: fileVariable, source: sourceOf(name, variable, 'file') }
  }
  const value = env[variable] ?? ''
  const trimmed = value.trim()
  if (trimmed === '') return null
  const text = isSecret(name) ? value : trimmed
  return { text, variable, source: sourceOf(name, variable, 'env') }
}

function sourceOf(name: SettingName, variable: string, direct: 'env' | 'file'): ValueSource {
  if (variable === name) return direct
  return `alias ${direct === 'file' ? `${variable}_FILE` : variable}`
}

/** @returns an empty text, which no parser sees, when the file gives no value */
function readTrimmed(path: string, variable: string, files: Omit<LookUp, 'env'>): string {
  try {
    const text = files.readFile(path).trim()
    if (text === '') files.unreadable.push({ variable, path, reason: 'is empty' })
    return text
  } catch (error) {
    const code = systemCode(error)
    const known = code !== null && /^[A-Z0-9_]{2,40}$/.test(code) ? ` (${code})` : ''
    files.unreadable.push({ variable, path, reason: `cannot be read${known}` })
    return ''
  }
}

/** A secret pasted where its file's path belongs is a common mistake: only what looks like a path is repeated. */
function unreadableProblem({ variable, path, reason }: Unreadable, secrets: string[]): Problem {
  const example = `${variable}=/run/secrets/${variable.replace(/_FILE$/, '').toLowerCase()}`
  const looksLikePath = /^\.{0,2}\/[^\p{Cc}]{0,200}$/u.test(path)
  if (!looksLikePath || secrets.some((secret) => path.includes(secret))) {
    const wrong = `names a file that ${reason} (the value is not shown: it does not look like an absolute path)`
    return { variable, wrong, example }
  }
  return { variable, wrong: `names the file ${path}, which ${reason}`, example }
}

function oddities(name: SettingName, { text, variable }: Found): string[] {
  if (/^(["']).*\1$/s.test(text)) {
    return [`${variable} begins and ends with quotes, and they are taken as part of the value`]
  }
  if (isSecret(name) && text !== text.trim()) {
    return [`${variable} begins or ends with white space, which is taken as part of the value`]
  }
  // A source that went too early is gone.
  if (name === 'RELEASE_GRACE' && /^[1-9]\d{0,2}$/.test(text)) {
    return [`${variable}=${text} is in seconds; hours are ${text}h`]
  }
  return []
}

function spreadDatabaseUrl(found: Map<SettingName, Found>, warnings: string[]): void {
  const url = found.get('DATABASE_URL')
  const parsed = url && databaseUrl.safeParse(url.text)
  if (!url || !parsed?.success) return
  for (const [name, text] of Object.entries(parsed.data.parts)) {
    found.set(name as SettingName, { text, variable: url.variable, source: 'alias DATABASE_URL' })
  }
  if (parsed.data.ignored) {
    warnings.push(
      `${url.variable}: parameters other than sslmode have no meaning here and are ignored`,
    )
  }
}
