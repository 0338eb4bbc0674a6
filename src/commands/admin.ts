import { createAdmin, createAdminOff } from '../admin/app.ts'
import type { Config } from '../config.ts'
import { type Backend, openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { assertMigrated } from '../db/migrate.ts'
import { AppError } from '../errors.ts'
import type { Mounted } from '../mounted.ts'
import type { Program } from '../open.ts'
import type { Health } from '../serve/health.ts'
import { revokeNamed } from './revocations.ts'
import { mintLink } from './token.ts'

/** Console and API of this process, or what says why they are off. */
export function openAdmin(
  config: Config,
  {
    program,
    database,
    health,
    servePort,
  }: {
    program: Pick<Program, 'version' | 'log'>
    database: Database | null
    health: Health
    /** Where this process serves files, if it does. */
    servePort: () => number | null
  },
): Mounted {
  const { log, version } = program
  const { token, hosts } = config.admin
  if (token === null) {
    const what = 'the console and the API are off: ADMIN_TOKEN is not set'
    return createAdminOff(new AppError('ADMIN_OFF', what), log)
  }
  if (database === null) {
    const what = 'the console and the API are off: no database is set'
    const hint = 'set DB_HOST, DB_NAME and DB_USER, or DATABASE_URL, as for the nodes that sync'
    return createAdminOff(new AppError('ADMIN_OFF', what, { hint }), log)
  }
  return createAdmin({
    version,
    token,
    hosts,
    database,
    log,
    backend: onceOpened(() => openTables(database, config)),
    health: () => health.deep(),
    async mint(order) {
      const port = servePort() ?? config.serve.port
      const url = await mintLink(config, database, { ...order, port })
      return { url, expiresAt: new Date(Date.now() + order.ttlSeconds * 1_000) }
    },
    revoke: (order) => revokeNamed(config, database, order),
  })
}

async function openTables(database: Database, config: Config): Promise<Backend> {
  await assertMigrated(database)
  return openBackend(database, config.backend)
}

/** Asks again after a failure, and never after a success. */
function onceOpened<Opened>(open: () => Promise<Opened>): () => Promise<Opened> {
  let opened: Promise<Opened> | null = null
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = null
      throw error
    })
    return opened
  }
}
