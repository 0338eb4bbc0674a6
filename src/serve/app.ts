import type { IncomingMessage } from 'node:http'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import type { TokenConfig } from '../config.ts'
import { AppError, toAppError } from '../errors.ts'
import type { AddressRange } from '../ip-address.ts'
import type { Log } from '../log.ts'
import type { Mounted } from '../mounted.ts'
import { answerFailure, createListener } from './attend.ts'
import { allowedMethods, type CorsOrigins } from './cors.ts'
import { commonHeaders, neverStored } from './file-headers.ts'
import { createFileRoute, type FileRoute } from './file-route.ts'
import type { GateRules } from './gate.ts'
import type { Health } from './health.ts'
import { addHealthRoutes } from './health-routes.ts'
import { createHttpServer, type HttpServer } from './listen.ts'
import { addMetricsRoute, type Exposition } from './metrics-route.ts'
import { createMount, type Mount } from './mount.ts'
import type { Offload } from './offload.ts'
import type { AddressOf } from './redirect.ts'
import { nothingRevoked, type RevokedTokens } from './revocations.ts'
import { createWatchdog, type Watchdog } from './stall.ts'
import type { StreamLimits } from './streams.ts'
import { createTraffic, type Traffic } from './traffic.ts'
import { logVisit, type Visit } from './visit.ts'

const MIB = 1024 * 1024

/** What visitors may hold at one time. */
export interface ServeLimits extends StreamLimits {
  maxConnections: number
}

interface AppEnv {
  Bindings: HttpBindings & { visit: Visit }
}

/** The public server: files to token holders, and whether it is well. It needs the archive and nothing else. */
export function createFileServer(options: {
  archiveDir: string
  tokens: TokenConfig
  rules: GateRules
  /** Without it nothing is. */
  revoked?: RevokedTokens
  /** SERVE_PATH_PREFIX: taken off every path before it is looked up; empty for none. */
  pathPrefix: string
  corsOrigins: CorsOrigins
  /** Without it, or null, no front sends files in our place. */
  offload?: Offload | null
  /** Without it, or null, visitors are sent nowhere else for files that were moved. */
  elsewhere?: AddressOf | null
  health: Health
  log: Log
  limits: ServeLimits
  /** Kept up to date for whoever wants to know. */
  traffic?: Traffic
  /** Bytes that may be on their way from disk to visitors at one time. */
  bufferBytes?: number
  now?: () => Date
  /** Milliseconds, never going back. */
  clock?: () => number
}): HttpServer & Pick<FileRoute, 'openFiles'> & { watchdog: Watchdog } {
  const { health, log, corsOrigins } = options
  const { bufferBytes = 64 * MIB, now = () => new Date(), revoked = nothingRevoked } = options
  const { offload = null, elsewhere = null, traffic = createTraffic() } = options
  const clock = options.clock ?? (() => performance.now())
  const route = createFileRoute({
    ...options,
    offload,
    elsewhere,
    revoked,
    bufferBytes,
    now,
    clock,
  })
  const { maxConnections } = options.limits
  const watchdog = createWatchdog({ clock })
  const common = { health, log, corsOrigins, maxConnections, watchdog, traffic }
  const server = createAppServer({ ...common, details: false, files: route, metrics: null })
  return { ...server, openFiles: route.openFiles, watchdog }
}

/** The operator's server; never reached through the tunnel. */
export function createAdminServer(options: {
  health: Health
  log: Log
  /** Without them `/metrics` is not there. */
  metrics?: Exposition
  /** What else is there; without it health and metrics alone. */
  mounted?: { pages: Mounted; archiveDir: string; trustedProxies: readonly AddressRange[] }
}): HttpServer {
  const { health, log, mounted } = options
  return createAppServer({
    health,
    log,
    metrics: options.metrics ?? null,
    corsOrigins: [],
    maxConnections: 1024,
    details: true,
    watchdog: createWatchdog(),
    traffic: createTraffic(),
    files: null,
    mount: mounted === undefined ? null : createMount({ ...mounted, log }),
  })
}

/** What both servers share: health, refusals, and the listener around it all. */
function createAppServer(options: {
  health: Health
  log: Log
  details: boolean
  corsOrigins: CorsOrigins
  maxConnections: number
  /** Of refusals too: whoever asks for thousands and reads none would hold his connection for ever. */
  watchdog: Watchdog
  traffic: Traffic
  files: FileRoute | null
  metrics: Exposition | null
  mount?: Mount | null
}): HttpServer {
  const { log, maxConnections, files, mount = null } = options
  let draining = false
  const pages = createPages({ ...options, mount, isDraining: () => draining })
  return createHttpServer({
    listener: createListener({ ...options, pages }),
    onDrain() {
      draining = true
    },
    async onClosed() {
      await files?.openFiles.close()
      await mount?.close()
    },
    maxConnections,
    log,
  })
}

/** All that is no file: metrics, health, what is mounted, and the refusal of the rest. */
function createPages(options: {
  health: Health
  isDraining: () => boolean
  details: boolean
  metrics: Exposition | null
  mount: Mount | null
  corsOrigins: CorsOrigins
  log: Log
}): (visit: Visit) => Promise<void> {
  const { metrics, mount, corsOrigins, log } = options
  const app = new Hono<AppEnv>()
  if (metrics !== null) addMetricsRoute(app, metrics)
  app.use(async ({ env: { visit } }, next) => {
    await next()
    logVisit(visit, log)
  })
  addHealthRoutes(app, options)
  if (mount !== null) app.all('*', ({ req, env: { visit } }) => mount.answer(req.raw, visit))
  app.get('*', () => {
    throw new AppError('NOT_FOUND', 'nothing is served here')
  })
  app.all('*', ({ env }) => {
    env.outgoing.setHeader('Allow', allowedMethods(corsOrigins))
    throw new AppError('METHOD_NOT_ALLOWED', 'only GET and HEAD are served')
  })
  app.onError((error, { env: { visit } }) => {
    answerFailure(visit, toAppError(error), log)
    return RESPONSE_ALREADY_SENT
  })
  const visits = new WeakMap<IncomingMessage, Visit>()
  const answer = (request: Request, { incoming, outgoing }: HttpBindings) =>
    app.fetch(request, { incoming, outgoing, visit: visits.get(incoming) as Visit })
  const route = getRequestListener((request, env) => answer(request, env as HttpBindings), {
    overrideGlobalObjects: false,
    // HTTP/1.0 has none; nothing here depends on it.
    hostname: 'localhost',
    errorHandler: (error) => answerUnroutable(error, log),
  })
  return async (visit) => {
    visits.set(visit.incoming, visit)
    await route(visit.incoming, visit.outgoing)
  }
}

/** What Hono can make no URL of (a path with a backslash …) never reaches a route. */
function answerUnroutable(error: unknown, log: Log): Response {
  const known = error instanceof RequestError
  if (!known) log.error({ error }, 'a request failed outside its route')
  const body = JSON.stringify({ error: known ? 'REQUEST_INVALID' : 'INTERNAL' })
  const headers = {
    ...commonHeaders,
    ...neverStored,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(body.length),
  }
  return new Response(body, { status: known ? 400 : 500, headers })
}
