import type { TokenConfig } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Sidecar } from '../sidecar.ts'
import { answerError } from './answer.ts'
import { createBuffers } from './buffers.ts'
import { createClientAddress, createFindPeer } from './client-address.ts'
import type { CorsOrigins } from './cors.ts'
import { createDelivery, type Deliver } from './deliver.ts'
import { createDoctorEcho } from './doctor-echo.ts'
import { fileHeaders, type HeaderList, mediaTypeOf, representationOf } from './file-headers.ts'
import { createGate, type GateRules, type Pass } from './gate.ts'
import { createLocator, createPathReader } from './locate.ts'
import { type Body, bodyOf, contentRange, multipartOf } from './multipart.ts'
import { createOffload, handOver, type Offload, type OffloadTo } from './offload.ts'
import { createOpenFiles, type OpenFile, type OpenFiles } from './open-files.ts'
import { judgeRequest, type Verdict } from './range.ts'
import { type AddressOf, redirect } from './redirect.ts'
import type { RevokedTokens } from './revocations.ts'
import { createSender } from './send.ts'
import type { StreamLimits } from './streams.ts'
import { type Query, splitTarget } from './target.ts'
import { createTokenVerifier, type TokenClaims } from './token.ts'
import { createTokenCache } from './token-cache.ts'
import type { Visit } from './visit.ts'

export interface FileRoute {
  serve(visit: Visit): Promise<void>
  /** What is kept open between requests; to be closed with the server. */
  openFiles: OpenFiles
}

/**
 * Makes the way from a request to its bytes: token, path, file, conditions, in this order, so that only a valid
 * token ever learns whether there is a file.
 */
export function createFileRoute(options: {
  archiveDir: string
  tokens: TokenConfig
  rules: GateRules
  revoked: RevokedTokens
  limits: StreamLimits
  pathPrefix: string
  corsOrigins: CorsOrigins
  offload: Offload | null
  /** Where moved files are; null: they are not there for visitors. */
  elsewhere: AddressOf | null
  log: Log
  /** Bytes that may be on their way from disk to visitors. */
  bufferBytes: number
  now: () => Date
  /** Milliseconds, never going back. */
  clock: () => number
}): FileRoute {
  const { now, log, clock } = options
  const verify = createTokenCache(createTokenVerifier(options.tokens))
  const { trustedProxies, tokenFailuresPerMinute } = options.rules
  const clientOf = createClientAddress({
    trusted: trustedProxies,
    onUntrusted: (peer) =>
      log.warn(
        { peer },
        'CF-Connecting-IP is not believed: its sender is not in TRUSTED_PROXIES, so all who come through it count as one client',
      ),
  })
  const admit = createGate({ ...options, verify, clientOf, tokenFailuresPerMinute })
  const echo = createDoctorEcho(trustedProxies)
  const archivePathOf = createPathReader(options.pathPrefix)
  const locator = createLocator({
    archiveDir: options.archiveDir,
    onInvalidSidecar: (archivePath, error) =>
      log.warn({ archivePath, error }, 'a sidecar cannot be believed; its file is not served'),
  })
  const openFiles = createOpenFiles({ locator, log, clock })
  // A player without crossorigin does not say where it is: any site that is listed opens the door to all.
  const embeddable = options.corsOrigins.length > 0
  const offloadTo = createOffload({ ...options, peerOf: createFindPeer(trustedProxies) })
  const deliver = createDelivery({
    ...options,
    clientOf,
    send: createSender(createBuffers(options.bufferBytes)),
  })

  /** @throws `missing` where the file was not moved, as far as its sidecar tells */
  const sendElsewhere = async (
    visit: Visit,
    missing: unknown,
    { claims, begin, archivePath, inline }: Pass & { archivePath: string; inline: boolean },
  ) => {
    const { elsewhere } = options
    if (elsewhere === null || !isAppError(missing, 'NOT_FOUND')) throw missing
    const sidecar = await locator.fileless(archivePath, claims.mediaId)
    if (sidecar === null) throw missing
    if (visit.outgoing.headersSent) return
    const end = begin()
    const { expiresAt } = claims
    redirect(visit, elsewhere, { sidecar, expiresAt, inline, embeddable, now: now() })
    visit.offloaded = true
    // How much of it is fetched there nobody tells us.
    end(visit.incoming.method === 'HEAD' ? 0 : sidecar.bytes)
  }

  const serve = async (visit: Visit) => {
    const { path, query } = splitTarget(visit.incoming.url ?? '')
    const { claims, begin } = admit(visit, query)
    visit.mediaId = claims.mediaId
    visit.jti = claims.jti
    const archivePath = archivePathOf(path)
    if (archivePath === null) throw new AppError('NOT_FOUND', 'the path names no file')
    const inline = wantsInline(query)
    let file: OpenFile
    try {
      const found = openFiles.acquire(archivePath, claims.mediaId)
      // Each wait costs, and most files are at hand.
      file = found instanceof Promise ? await found : found
    } catch (error) {
      await sendElsewhere(visit, error, { claims, begin, archivePath, inline })
      return
    }
    let end: ((bytes: number) => void) | null = null
    try {
      // Somebody else has answered while the disk was slow.
      if (visit.outgoing.headersSent) return
      end = begin()
      echo(visit, file.sidecar)
      const sent = answer(visit, file, {
        claims,
        now: now(),
        inline,
        embeddable,
        offloadTo,
        deliver,
      })
      if (sent !== undefined) visit.complete = await sent
    } finally {
      end?.(visit.bytes)
      file.release()
    }
  }
  return { serve, openFiles }
}

interface Wish {
  claims: TokenClaims
  now: Date
  inline: boolean
  embeddable: boolean
  offloadTo: OffloadTo
  deliver: Deliver
}

/** @returns whether all of it was taken, where the answer has more than its head */
function answer(visit: Visit, file: OpenFile, wish: Wish): Promise<boolean> | undefined {
  const { claims, now, inline, embeddable, offloadTo, deliver } = wish
  const { incoming, outgoing } = visit
  const { sidecar } = file
  const representation = representationOf(sidecar, now)
  const verdict = judgeRequest(incoming.method ?? '', incoming.headers, representation)
  if (verdict.status === 412) {
    throw new AppError('PRECONDITION_FAILED', 'the file is another version')
  }
  if (verdict.status === 416) {
    const failure = new AppError('RANGE_UNSATISFIABLE', 'the file has no such range')
    answerError(outgoing, failure, { 'Content-Range': `bytes */${sidecar.bytes}` })
    return
  }
  const { expiresAt } = claims
  const headers = fileHeaders(sidecar, { expiresAt, now, inline, embeddable })
  if (verdict.status === 304) {
    outgoing.writeHead(304, [...headers.ofCaching]).end()
    return
  }
  const handover = offloadTo(incoming, { sidecar, verdict, claims })
  if (handover !== null) {
    visit.offloaded = true
    const type = ['Content-Type', mediaTypeOf(sidecar)]
    const all = [...headers.ofCaching, ...headers.ofFile, ...type, ...handover]
    handOver(outgoing, all, verdict.status)
    return
  }
  const { body, ofBody } = bodyFor(verdict, sidecar)
  const writeHead = () =>
    outgoing.writeHead(verdict.status, [...headers.ofCaching, ...headers.ofFile, ...ofBody])
  if (incoming.method === 'HEAD' || body.length === 0) {
    writeHead().end()
    return
  }
  return deliver(visit, { file, body, claims, writeHead })
}

function bodyFor(
  { status, slices }: Extract<Verdict, { slices: unknown }>,
  sidecar: Sidecar,
): { body: Body; ofBody: HeaderList } {
  const [first, second] = slices
  const file = { contentType: mediaTypeOf(sidecar), sizeBytes: sidecar.bytes }
  const several = second === undefined ? null : multipartOf(slices, file)
  const body = several ?? bodyOf([first])
  const contentType = several?.contentType ?? file.contentType
  const ofBody = ['Content-Type', contentType, 'Content-Length', String(body.length)]
  return status === 200 || several !== null
    ? { body, ofBody }
    : { body, ofBody: [...ofBody, 'Content-Range', contentRange(first, sidecar.bytes)] }
}

function wantsInline(query: Query): boolean {
  const wishes = query.getAll('disposition')
  return wishes.length === 1 && wishes[0] === 'inline'
}
