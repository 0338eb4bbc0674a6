import { AppError, systemCode } from '../errors.ts'
import type { Environment, ReadFile } from './source.ts'

/**
 * Reads a file of NAME=value lines as `docker run --env-file` does: a value is everything behind the `=`, as it is, so that
 * no password needs quoting; lines that begin with `#` are comments.
 *
 * @returns `env` with what the file adds; what is set in `env` wins
 * @throws CONFIG_INVALID, which never shows what a line holds
 */
export function withEnvFile(env: Environment, path: string, readFile: ReadFile): Environment {
  const merged: Record<string, string | undefined> = { ...env }
  for (const [index, line] of linesOf(path, readFile).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue
    const [, name, value] = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(line) ?? []
    if (name === undefined || value === undefined)
      throw new AppError('CONFIG_INVALID', `line ${index + 1} of ${path} is not NAME=value`, {
        hint: 'write each setting on one line of its own, without "export" and without blanks around the "="',
      })
    // An empty variable is not set.
    if (!env[name]) merged[name] = value
  }
  return merged
}

function linesOf(path: string, readFile: ReadFile): string[] {
  try {
    return readFile(path)
      .replace(/^\uFEFF/, '')
      .split(/\r?\n/)
  } catch (cause) {
    const why = systemCode(cause) === 'ENOENT' ? 'there is no such file' : systemCode(cause)
    throw new AppError('CONFIG_INVALID', `--env-file ${path} cannot be read: ${why}`, {
      cause,
      hint: 'cp .env.example .env, and fill in what says "Required"',
    })
  }
}
