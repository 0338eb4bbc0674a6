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
