import { dirname, join } from 'node:path'
import { withDemoBucket } from './demo-bucket.ts'
import { withReader } from './reader.ts'
import type { Scope } from './scopes.ts'
import { type Ended, type Env, type Service, withService } from './service.ts'

export const SYNC = ['sync', '--once', '--json']
const readOnlyKey = { accessKey: 'reader', secretKey: 'reader-secret' }

export interface Shadowed extends Service {
  shadowDir: string
  settings: Env
  /** Runs the program in shadow mode, as a role and with a key that may only read. */
  shadow(args?: readonly string[], env?: Env): Promise<Ended>
  /** What was asked of the bucket since the last run began. */
  operations(): Set<string>
}

/** A backend, its bucket, an archive, and Strongroom beside the service that works on them. */
export async function withShadow(t: Scope): Promise<Shadowed> {
  const demo = await withDemoBucket(t, { readOnlyKey })
  const service = await withService(t, { bucket: demo })
  const reader = await withReader(t, service)
  const shadowDir = join(dirname(service.archiveDir), 'shadow')
  const settings = {
    MODE: 'shadow',
    SHADOW_DIR: shadowDir,
    ...reader,
    R2_ACCESS_KEY: readOnlyKey.accessKey,
    R2_SECRET_KEY: readOnlyKey.secretKey,
  }
  let seen = 0
  return {
    ...service,
    shadowDir,
    settings,
    async shadow(args = SYNC, env = {}) {
      seen = demo.server.requests.length
      return service.run(args, { ...settings, ...env })
    },
    operations: () => new Set(demo.server.requests.slice(seen).map((sent) => sent.operation)),
  }
}

const REPORT = ['shadow', 'report', '--json']

export interface Line {
  media_id: number | null
  name: string
  basis: string
  skipped: string | null
  differences: { kind: string; text: string }[]
}

export interface Sum {
  compared: number
  differ: number
  by_old_file: number
  skipped: Record<string, number>
  general: { kind: string; count: number; hint: string }[]
  safe: boolean
  notes: string[]
  verdict: string
}

/** Runs `shadow report`. */
export async function reported(
  { shadow }: Pick<Shadowed, 'shadow'>,
  args: readonly string[] = [],
  env: Env = {},
): Promise<{ lines: Line[]; sum: Sum; ended: Ended }> {
  const ended = await shadow([...REPORT, ...args], env)
  const parsed = ended.stdout.trim().split('\n')
  const sum = JSON.parse(parsed.pop() ?? '') as Sum
  return { lines: parsed.map((line) => JSON.parse(line) as Line), sum, ended }
}

/** Each difference as `<media id or name> <kind>`. */
export function found(lines: readonly Line[]): string[] {
  return lines.flatMap(({ media_id: id, name, differences }) =>
    differences.map(({ kind }) => `${id ?? name} ${kind}`),
  )
}
