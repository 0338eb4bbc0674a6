import type { IncomingMessage, RequestListener } from 'node:http'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import type { TokenConfig } from '../config.ts'
import { AppError, toAppError } from '../errors.ts'
import type { AddressRange } from '../ip-address.ts'
import type { Log } from '../log.ts'
import type { Mounted } from '../mounted.ts'
import { answerError } from './answer.ts'
import {
  allowedMethods,
  allowOrigin,
  answerOptions,
  type CorsOrigins,
  knowsOptions,
} from './cors.ts'
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
import { isUnframed, prepareRequest } from './request-rules.ts'
import { nothingRevoked, type RevokedTokens } from './revocations.ts'
import { createWatchdog, type Watchdog } from './stall.ts'
import type { StreamLimits } from './streams.ts'
import { splitTarget } from './target.ts'
import { createTraffic, type Traffic } from './traffic.ts'
import { countVisit, type Visit } from './visit.ts'

const MIB = 1024 * 1024
/** The edge waits for longer, but visitors do not. */
const firstByteMs = 5_000

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

/** What both servers share: the log line, health, refusals, and the listener around it all. */
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
  const { health, log, details, corsOrigins, maxConnections, watchdog, traffic, files } = options
  const { mount = null } = options
  let draining = false
  const app = new Hono<AppEnv>()
  if (options.metrics !== null) addMetricsRoute(app, options.metrics)
  app.use(async ({ env: { visit } }, next) => {
    const started = performance.now()
    await next()
    logVisit(visit, { log, started })
  })
  addHealthRoutes(app, { health, isDraining: () => draining, details })
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
  const routed = new WeakMap<IncomingMessage, Visit>()
  const answerByApp = (request: Request, { incoming, outgoing }: HttpBindings) => {
    const visit = routed.get(incoming) ?? newVisit({ incoming, outgoing }, { watchdog, traffic })
    return app.fetch(request, { incoming, outgoing, visit })
  }
  const route = getRequestListener((request, env) => answerByApp(request, env as HttpBindings), {
    overrideGlobalObjects: false,
    // HTTP/1.0 has none; nothing here depends on it.
    hostname: 'localhost',
    errorHandler: (error) => answerUnroutable(error, log),
  })
  const onDrain = () => {
    draining = true
  }
  const listener: RequestListener = (incoming, outgoing) => {
    const visit = newVisit({ incoming, outgoing }, { watchdog, traffic })
    const fault = prepareRequest(incoming)
    // Node reads nothing more from a connection that was to be upgraded, nor could it where the framing is broken.
    if (incoming.headers.upgrade !== undefined || isUnframed(incoming))
      outgoing.setHeader('Connection', 'close')
    allowOrigin(incoming, outgoing, corsOrigins)
    const isOptions = incoming.method === 'OPTIONS' && knowsOptions(corsOrigins)
    const isFile = files !== null && isForFile(incoming)
    if (fault === null && !isOptions && !isFile) {
      routed.set(incoming, visit)
      return void route(incoming, outgoing)
    }
    if (fault === null && isFile) return void attend(visit, { files, log })
    if (fault === null) answerOptions(incoming, outgoing, corsOrigins)
    else answerFailure(visit, fault, log)
    logVisit(visit, { log, started: performance.now() })
  }
  const onClosed = async () => {
    await files?.openFiles.close()
    await mount?.close()
  }
  return createHttpServer({ listener, onDrain, onClosed, maxConnections, log })
}

/** All but health, whose pages have no names below them that a file could have. */
function isForFile({ method, url = '' }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  return !url.startsWith('/health') || !/^\/health(?:\/deep)?(?:\?|$)/.test(url)
}

/** RFC 9112 6.3. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined
}

/** Files do not pass through Hono: making a web request of each cost more than sending a small file. */
async function attend(visit: Visit, { files, log }: { files: FileRoute; log: Log }): Promise<void> {
  visit.traffic.underWay += 1
  const started = performance.now()
  let late: NodeJS.Timeout | undefined
  try {
    // A file that is at hand would be answered before the rest of the packet showed that the request is broken.
    if (hasBody(visit.incoming)) await new Promise((resolve) => setImmediate(resolve))
    const served = files.serve(visit)
    // What is at hand is answered by now, and most files are.
    if (!visit.outgoing.headersSent) late = setTimeout(answerLate, firstByteMs, visit, log)
    await served
  } catch (error) {
    answerFailure(visit, toAppError(error), log)
  } finally {
    clearTimeout(late)
    visit.traffic.underWay -= 1
  }
  logVisit(visit, { log, started })
}

function answerLate(visit: Visit, log: Log): void {
  if (visit.outgoing.headersSent || visit.outgoing.destroyed) return
  answerFailure(visit, new AppError('ARCHIVE_SLOW', 'no first byte in time'), log)
}

function newVisit(
  { incoming, outgoing }: HttpBindings,
  { watchdog, traffic }: { watchdog: Watchdog; traffic: Traffic },
): Visit {
  const { socket } = incoming
  const end = () => {
    visit.reason ??= 'stalled'
    socket.destroy()
  }
  const watched = watchdog.watch(socket, end)
  outgoing.on('close', () => {
    watched.moved()
    watched.unwatch(end)
  })
  const visit: Visit = {
    incoming,
    outgoing,
    watched,
    traffic,
    mediaId: null,
    jti: null,
    bytes: 0,
    offloaded: false,
    complete: true,
    reason: null,
    client: null,
  }
  return visit
}

function answerFailure(visit: Visit, failure: AppError, log: Log): void {
  const { incoming, outgoing } = visit
  visit.complete = false
  visit.reason = failure.reason
  if (failure.status >= 500) {
    log.error({ error: failure, path: loggedPath(incoming.url ?? '') }, 'a request failed')
  }
  // After the headers only a broken connection tells the visitor that the file is not whole.
  if (outgoing.headersSent) outgoing.destroy()
  else answerError(outgoing, failure)
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

/** One line per request, without its query; probes are too many to be told of by default, and are not counted. */
function logVisit(visit: Visit, { log, started }: { log: Log; started: number }): void {
  const { incoming, outgoing, mediaId, jti, bytes, complete, offloaded, reason, client } = visit
  const { method, url = '' } = incoming
  const line = () => ({
    method,
    path: loggedPath(url),
    status: outgoing.statusCode,
    mediaId,
    bytes,
    complete,
    ...(offloaded ? { offloaded } : {}),
    ...(jti === null ? {} : { jti }),
    ...(reason === null ? {} : { reason }),
    ...(client === null ? {} : { client }),
    durationMs: Math.round(performance.now() - started),
  })
  if (url.startsWith('/health')) log.debug(line, 'request')
  else {
    countVisit(visit)
    log.info(line, 'request')
  }
}

/** A visitor may paste a token into the path as well; a part that looks like one is not repeated. */
function loggedPath(url: string): string {
  const tokenLike = /eyJ[\w-]{5}|[\w-]{20}(?:\.|%2[Ee])[\w-]{20}/
  const parts = splitTarget(url).path.slice(0, 1024).split('/')
  return parts.map((part) => (tokenLike.test(part) ? '[token]' : part)).join('/')
}
