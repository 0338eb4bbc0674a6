import assert from 'node:assert/strict'
import type { Need } from '../../src/config/setting.ts'
import { parseConfig } from '../../src/config.ts'
import { isAppError } from '../../src/errors.ts'

export type Env = Record<string, string | undefined>
export const everything: ReadonlySet<Need> = new Set(['database', 'bucket', 'tokens'])
export const tunnelSecret = 'tunnel-secret-of-at-least-32-bytes'

export const complete: Env = {
  DB_HOST: 'db',
  DB_NAME: 'app',
  DB_USER: 'strongroom',
  DB_PASSWORD: 'database-password',
  R2_ENDPOINT: 'https://account.r2.cloudflarestorage.com',
  R2_ACCESS_KEY: 'access-key',
  R2_SECRET_KEY: 'bucket-secret',
  R2_BUCKET: 'uploads',
  UNRAID_TUNNEL_SECRET: tunnelSecret,
}

export function fileReader(files: Record<string, string> = {}) {
  return (path: string) => {
    const text = files[path]
    if (text !== undefined) return text
    throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' })
  }
}

export function parse(
  env: Env = {},
  options: { needs?: Need[]; files?: Record<string, string>; shadow?: boolean } = {},
) {
  const needs = options.needs ? new Set(options.needs) : everything
  return parseConfig(
    { ...complete, ...env },
    {
      needs,
      readFile: fileReader(options.files),
      shadow: options.shadow ?? false,
    },
  )
}

/** The message of the one error that these settings give. */
export function refusal(env: Env, files?: Record<string, string>): string {
  try {
    parse(env, { files: files ?? {} })
  } catch (error) {
    assert.ok(isAppError(error, 'CONFIG_INVALID'), String(error))
    return error.message
  }
  assert.fail(`accepted ${JSON.stringify(env)}`)
}
