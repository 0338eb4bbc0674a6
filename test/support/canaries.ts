/** The secrets that a program was given are looked for in all that comes out of it. */
import { readFileSync } from 'node:fs'
import type { Setting } from '../../src/config/setting.ts'
import { settings } from '../../src/config/settings.ts'

/** Shorter ones cannot be told from ordinary text. */
const shortest = 8

/** The secret settings of an environment, by the name they were given under, files read. */
export function secretsIn(env: Readonly<Record<string, string>>): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, { secret, aliases = [] }] of Object.entries<Setting>(settings)) {
    if (!secret) continue
    for (const variable of [name, ...aliases]) {
      const value = env[variable] ?? contentsOf(env[`${variable}_FILE`])
      const text = /_URL$/.test(name) ? secretOfUrl(value) : value
      if (text.length >= shortest) found.set(variable, text)
    }
  }
  return found
}

/** @returns one sentence for each secret that is in the text, in any of the ways it could be spelt */
export function leaksIn(text: string, env: Readonly<Record<string, string>>): string[] {
  return [...secretsIn(env)]
    .filter(([, secret]) => spellingsOf(secret).some((spelling) => text.includes(spelling)))
    .map(([name]) => `the value of ${name} came out`)
}

/** @throws when a secret of `env` is in what a program said */
export function assertNoLeak(
  { stdout, stderr }: { stdout: string; stderr: string },
  env: Readonly<Record<string, string>>,
): void {
  for (const [name, text] of Object.entries({ stdout, stderr })) {
    const [leak] = leaksIn(text, env)
    if (leak !== undefined) throw new Error(`${leak} on ${name}:\n${text}`)
  }
}

function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const encoded = (['base64', 'base64url', 'hex'] as const).map((how) => bytes.toString(how))
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...encoded]
}

function contentsOf(path: string | undefined): string {
  if (path === undefined) return ''
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    // A test that names a file which is not there gave no secret.
    return ''
  }
}

/** The password, or the last part of its path: of a database's or a mail server's address nothing else is secret. */
function secretOfUrl(text: string): string {
  const url = URL.parse(text)
  const encoded = url?.password || url?.pathname.split('/').at(-1) || ''
  return decodeURIComponent(encoded)
}
