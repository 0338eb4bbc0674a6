import { hostname } from 'node:os'
import { createAdmin, createAdminOff } from '../admin/app.ts'
import type { Live } from '../admin/live.ts'
import type { LookAround } from '../admin/look.ts'
import type { Config } from '../config.ts'
import { type Backend, openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { assertMigrated } from '../db/migrate.ts'
import { AppError, isAppError } from '../errors.ts'
import { createCached } from '../metrics/cached.ts'
import type { Mounted } from '../mounted.ts'
import type { Program } from '../open.ts'
import type { Health } from '../serve/health.ts'
import { requireArchive } from '../serve/locate.ts'
import { SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import { type DiskRoom, openDisk, roomOf } from '../storage/disk.ts'
import { fsck } from '../sync/fsck.ts'
import { FINDINGS } from '../sync/fsck-findings.ts'
import { onceOpened } from '../waiting.ts'
import { openFsck } from './fsck.ts'
import { revokeNamed } from './revocations.ts'
import { mintLink } from './token.ts'

export interface AdminOptions {
  program: Pick<Program, 'version' | 'log'>
  database: Database | null
  health: Health
  live: Live
  /** Aborts when the process is to stop. */
  drain: AbortSignal
  /** Where this process serves files, if it does. */
  servePort: () => number | null
}

/** Console and API of this process, or what says why they are off. */
export function openAdmin(config: Config, options: AdminOptions): Mounted {
  const { program, database, health, servePort, drain } = options
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
  const { adminUrl } = config.notify
  // A mount that hangs holds a thread for each question, and must not hold up the page that says so.
  const room = createCached(() => storageOf(config), { freshMs: 5_000, patienceMs: 1_000 })
  return createAdmin({
    version,
    token,
    hosts: adminUrl === null ? hosts : [...hosts, new URL(adminUrl).hostname.toLowerCase()],
    database,
    log,
    live: options.live,
    node: hostname(),
    mode: config.mode,
    scrubs: config.scrub.periodMs > 0,
    closing: drain,
    backend: onceOpened(() => openTables(database, config)),
    health: () => health.deep(),
    storage: async () => (await room())?.value ?? null,
    sidecar: (archivePath) => readSidecar(config, archivePath),
    lookAround: (told) => lookAround(config, { database, drain, told }),
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

async function storageOf({ archive }: Config): Promise<DiskRoom | null> {
  try {
    await requireArchive(archive.dir)
    return await roomOf(archive.dir)
  } catch {
    // A node that has the admin role alone need not see the archive; that it is away is told by its health.
    return null
  }
}

async function readSidecar({ archive }: Config, archivePath: string): Promise<string | null> {
  try {
    await requireArchive(archive.dir)
    const disk = await openDisk(archive.dir)
    const bytes = await disk.read(sidecarPathOf(archivePath), SIDECAR_MAX_BYTES)
    return bytes?.toString() ?? null
  } catch (error) {
    if (isAppError(error)) return null
    throw error
  }
}

async function lookAround(
  config: Config,
  {
    database,
    drain,
    told,
  }: { database: Database; drain: AbortSignal; told: Parameters<LookAround>[0] },
): Promise<void> {
  const parts = await openFsck(config, database, told.looked)
  for await (const finding of fsck(parts, drain)) told.found(finding, FINDINGS[finding.kind].next)
}
