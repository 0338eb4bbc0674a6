import type { Live } from '../admin/live.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { openSecondLinks } from '../open/second-links.ts'
import type { Program } from '../open.ts'
import { createAdminServer, createFileServer } from '../serve/app.ts'
import { createHealth, type Gauges, type HealthChecks } from '../serve/health.ts'
import type { HttpServer } from '../serve/listen.ts'
import { nothingRevoked, type RevokedTokens } from '../serve/revocations.ts'
import { createTraffic, type Traffic } from '../serve/traffic.ts'
import { openAdmin } from './admin.ts'
import type { Role } from './roles.ts'

/** A process that works until a signal comes. */
export interface Service {
  program: Program
  roles: ReadonlySet<Role>
  drain: AbortSignal
  abort: AbortSignal
  /** Told the real ports, once all servers listen. */
  listening?: (ports: ReadonlyMap<Role, number>) => Promise<void>
}

const MIB = 2 ** 20
/** For downloads, beside a syncer; a server that has the process for itself holds 64 whole chunks. */
const sharedBufferBytes = 64 * MIB
const ownBufferBytes = 128 * MIB
/**
 * Starts what the roles ask for; a health check without `checks` answers for the process alone.
 *
 * @returns the real port of each
 */
export async function startServers(
  config: Config,
  run: Pick<Service, 'program' | 'roles' | 'drain'> & {
    checks?: HealthChecks
    gauges?: () => Gauges
    revoked?: RevokedTokens
    traffic?: Traffic
    metrics?: Metrics
    /** What console and API look at; with the admin role only. */
    admin?: { database: Database | null; live: Live }
  },
): Promise<Map<Role, number>> {
  const { log, stops } = run.program
  const { checks = {}, gauges = () => ({}), traffic = createTraffic() } = run
  const health = createHealth({ checks, gauges })
  run.metrics?.addHealth(health)
  const metrics = run.metrics === undefined ? {} : { metrics: run.metrics }
  const { serve, archive } = config
  const ports = new Map<Role, number>()
  const servers: [Role, HttpServer, number][] = []
  if (run.roles.has('serve') && serve.tokens !== null)
    servers.push([
      'serve',
      createFileServer({
        archiveDir: archive.dir,
        tokens: serve.tokens,
        rules: serve,
        limits: serve.limits,
        revoked: run.revoked ?? nothingRevoked,
        pathPrefix: serve.pathPrefix,
        corsOrigins: serve.corsOrigins,
        offload: serve.offload,
        elsewhere: openSecondLinks(config),
        traffic,
        bufferBytes: run.roles.has('sync') ? sharedBufferBytes : ownBufferBytes,
        health,
        log,
      }),
      serve.port,
    ])
  if (run.roles.has('admin') && run.admin !== undefined) {
    const servePort = () => ports.get('serve') ?? null
    const pages = openAdmin(config, { ...run, ...run.admin, health, servePort })
    const mounted = { pages, archiveDir: archive.dir, trustedProxies: serve.trustedProxies }
    const server = createAdminServer({ health, log, mounted, ...metrics })
    servers.push(['admin', server, serve.adminPort])
  }
  for (const [role, server, port] of servers) {
    const listening = await server.listen(port)
    ports.set(role, listening.port)
    log.info({ role, port: listening.port }, 'listening')
    run.drain.addEventListener('abort', () => listening.drain())
    stops.push(
      `${role} server`,
      () => listening.close(config.shutdownTimeoutMs),
      config.shutdownTimeoutMs,
    )
  }
  return ports
}

/** Resolves at the first signal. */
export function waitForStop(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
