/** Console and API of one process, on a real database and a real port. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLive } from '../../src/admin/live.ts'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { openAdmin } from '../../src/commands/admin.ts'
import { createAdminServer } from '../../src/serve/app.ts'
import { createHealth } from '../../src/serve/health.ts'
import { postgresStore } from '../contract/items-stores.ts'
import { afterwards } from './afterwards.ts'
import { type Env, parse } from './config.ts'
import { type CapturedLog, captureLog } from './file-server.ts'
import { type Scope, withFolder } from './scopes.ts'

export const adminToken = 'the-admin-token-of-the-tests-is-long-enough'

type Store = Awaited<ReturnType<typeof postgresStore>>

export interface AdminScope {
  store: Store
  port: number
  archiveDir: string
  log: CapturedLog
  /** Asks the API with the right token, unless `headers` says otherwise. */
  ask(method: string, path: string, options?: AskOptions): Promise<ApiAnswer>
}

export interface AskOptions {
  /** Sent as JSON; bytes as they are. */
  body?: unknown
  headers?: Record<string, string>
}

export interface ApiAnswer {
  status: number
  headers: Headers
  body: unknown
}

export async function withAdmin(t: Scope, env: Env = {}): Promise<AdminScope> {
  const store = await postgresStore(t)
  const archiveDir = await withFolder(t)
  await mkdir(join(archiveDir, '.strongroom'))
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  const config = parse({ ADMIN_TOKEN: adminToken, ARCHIVE_DIR: archiveDir, ...env })
  const log = captureLog()
  const health = createHealth({ checks: { database: async () => {} } })
  const pages = openAdmin(config, {
    program: { version: '0.0.0', log },
    database: store.database,
    health,
    live: createLive(),
    drain: new AbortController().signal,
    servePort: () => 8080,
  })
  const mounted = { pages, archiveDir, trustedProxies: [] }
  const server = createAdminServer({ health, log, mounted })
  const { port, close } = await server.listen(0, '127.0.0.1')
  afterwards(t, () => close(0))
  return {
    store,
    port,
    archiveDir,
    log,
    async ask(method, path, { body, headers = {} } = {}) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        redirect: 'manual',
        headers: {
          Authorization: `Bearer ${adminToken}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
      })
      const text = await answer.text()
      const isJson = answer.headers.get('content-type')?.includes('json') === true
      return {
        status: answer.status,
        headers: answer.headers,
        body: isJson ? JSON.parse(text) : text,
      }
    },
  }
}
