import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { MARKER_PATH } from '../../src/archive-path.ts'
import type { TokenConfig } from '../../src/config.ts'
import type { Log } from '../../src/log.ts'
import { createFileServer, type ServeLimits } from '../../src/serve/app.ts'
import type { CorsOrigins } from '../../src/serve/cors.ts'
import type { GateRules } from '../../src/serve/gate.ts'
import { createHealth, type Health } from '../../src/serve/health.ts'
import type { Listening } from '../../src/serve/listen.ts'
import type { Offload } from '../../src/serve/offload.ts'
import type { AddressOf } from '../../src/serve/redirect.ts'
import { nothingRevoked, type RevokedTokens } from '../../src/serve/revocations.ts'
import { mintToken } from '../../src/serve/token.ts'
import type { Traffic } from '../../src/serve/traffic.ts'
import { renderSidecar, type Sidecar, sidecarPathOf } from '../../src/sidecar.ts'

export const testTokens: TokenConfig = {
  secrets: ['the-first-secret-of-the-tests-32-bytes'],
  audience: null,
  issuer: null,
  maxTtlSeconds: 7 * 86_400,
  stringIds: false,
}

/** Options of a server whose front, at 127.0.0.1, is deploy/nginx.conf, and sends the smallest files too. */
export const offloading = {
  offload: { header: 'X-Accel-Redirect', prefix: '/strongroom-archive', passedOnBytes: 0 },
  rules: { trustedProxies: [{ address: '127.0.0.1', prefixBits: 32 }] },
} as const

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  fields: Record<string, unknown>
}

export interface CapturedLog extends Log {
  lines: LogLine[]
  /** Everything that was logged, errors with their causes and stacks. */
  text(): string
  /** Waits until so many requests have come to their end, and returns their lines. */
  requests(count: number): Promise<LogLine[]>
}

/** Keeps every line and tells of each as it comes. */
export function captureLog(): CapturedLog {
  const lines: LogLine[] = []
  const events = new EventEmitter()
  const write =
    (level: LogLine['level']): Log['info'] =>
    (given, message) => {
      const fields = typeof given === 'function' ? given() : given
      lines.push({ level, message, fields })
      events.emit('line')
    }
  const spell = (_key: string, value: unknown) =>
    value instanceof Error
      ? { ...value, message: value.message, stack: value.stack, cause: value.cause }
      : value
  return {
    lines,
    async requests(count) {
      for (;;) {
        const ended = lines.filter((line) => line.message === 'request')
        if (ended.length >= count) return ended
        await once(events, 'line')
      }
    },
    text: () => JSON.stringify(lines, spell),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  }
}

export function sidecarOf(facts: Partial<Sidecar> & { archive_path: string }): Sidecar {
  const bytes = facts.bytes ?? 0
  return {
    schema_version: 1,
    program_version: 'test',
    media_id: 1,
    user_id: 2,
    title: null,
    filename: null,
    content_type: 'video',
    mime_type: 'video/mp4',
    declared: { content_type: 'video', mime_type: null, bytes: null },
    bytes,
    sha256: createHash('sha256').update(facts.archive_path).digest('hex'),
    source: {
      bucket: 'b',
      key: 'k',
      etag: 'e',
      version_id: null,
      last_modified: '2026-01-01T00:00:00.000Z',
      bytes,
    },
    probe: {
      container: 'mp4',
      mime_type: 'video/mp4',
      content_type: 'video',
      duration_seconds: 1,
      streams: [],
    },
    proof: { kind: 'md5', value: null },
    approved_at: '2026-01-01T00:00:00.000Z',
    filed_at: '2026-01-02T03:04:05.678Z',
    ...facts,
  }
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

export interface ServerScope {
  archiveDir: string
  listening: Listening
  log: CapturedLog
  /** Looks for downloads that stand still, as happens every five seconds. */
  checkStalls(): Promise<void>
  /** The descriptors of archived files that somebody still holds after what is kept between requests was closed. */
  leaks(): Promise<string[]>
  /** Files `contents`, or a sparse file of so many bytes, with a sidecar beside it. */
  file(
    archivePath: string,
    contents: Buffer | string | number,
    facts?: Partial<Sidecar>,
  ): Promise<Sidecar>
  token(mediaId?: number, ttlSeconds?: number): Promise<string>
  /** Sends `target` as it is, without the cleaning that URL parsers do. */
  ask(
    target: string,
    options?: { method?: string; headers?: Record<string, string | string[]> },
  ): Promise<Answer>
}

/** A server on a free port over an archive of its own; both are gone afterwards, and no descriptor is left open. */
export async function withFileServer(
  options: {
    pathPrefix?: string
    corsOrigins?: CorsOrigins
    offload?: Offload
    elsewhere?: AddressOf
    tokens?: TokenConfig
    rules?: Partial<GateRules>
    limits?: Partial<ServeLimits>
    revoked?: RevokedTokens
    health?: Health
    traffic?: Traffic
    now?: () => Date
    clock?: () => number
  },
  use: (scope: ServerScope) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-serve-'))
  const archiveDir = join(folder, 'archive')
  await mkdir(join(archiveDir, '.strongroom'), { recursive: true })
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  const log = captureLog()
  const tokens = options.tokens ?? testTokens
  const server = createFileServer({
    archiveDir,
    tokens,
    rules: { trustedProxies: [], tokenFailuresPerMinute: 0, ...options.rules },
    limits: { maxConnections: 1024, streamsPerUser: 0, streamsPerClient: 0, ...options.limits },
    revoked: options.revoked ?? nothingRevoked,
    pathPrefix: options.pathPrefix ?? '',
    corsOrigins: options.corsOrigins ?? [],
    offload: options.offload ?? null,
    elsewhere: options.elsewhere ?? null,
    health: options.health ?? createHealth({ checks: {} }),
    ...(options.traffic && { traffic: options.traffic }),
    log,
    ...(options.now ? { now: options.now } : {}),
    ...(options.clock ? { clock: options.clock } : {}),
  })
  const listening = await server.listen(0, '127.0.0.1')
  try {
    await use({
      archiveDir,
      listening,
      log,
      checkStalls: () => server.watchdog.check(),
      leaks: async () => {
        await server.openFiles.close()
        return openFilesIn(archiveDir)
      },
      file: (path, contents, facts = {}) => addFile(archiveDir, { path, contents, facts }),
      token: (mediaId = 1, ttlSeconds = 600) =>
        mintToken({
          mediaId,
          userId: 2,
          ttlSeconds,
          tokens,
          now: options.now?.() ?? new Date(),
        }),
      ask: (target, how = {}) => ask(listening.port, target, how),
    })
  } finally {
    await listening.close(0)
    // What was read for visitors who were cut off ends in its own time.
    for (let turn = 0; turn < 1000 && (await openFilesIn(archiveDir)).length > 0; turn++);
    assert.deepEqual(await openFilesIn(archiveDir), [])
    await rm(folder, { recursive: true, force: true })
  }
}

export async function addFile(
  archiveDir: string,
  file: { path: string; contents: Buffer | string | number; facts: Partial<Sidecar> },
): Promise<Sidecar> {
  const { path, contents, facts } = file
  const place = join(archiveDir, path)
  await mkdir(dirname(place), { recursive: true })
  const bytes = typeof contents === 'number' ? contents : Buffer.byteLength(contents)
  if (typeof contents === 'number') {
    const sparse = await open(place, 'wx')
    await sparse.truncate(contents)
    await sparse.close()
  } else {
    await writeFile(place, contents, { flag: 'wx' })
  }
  const sidecar = sidecarOf({ archive_path: path, bytes, ...facts })
  await writeFile(sidecarPathOf(place), renderSidecar(sidecar), { flag: 'wx' })
  return sidecar
}

export async function ask(
  port: number,
  target: string,
  how: { method?: string; headers?: Record<string, string | string[]> } = {},
): Promise<Answer> {
  const sent = request({
    port,
    host: '127.0.0.1',
    path: '/',
    method: how.method ?? 'GET',
    headers: { connection: 'close', ...how.headers },
  })
  // Node's own check of the path would keep hostile ones from ever being sent.
  sent.path = target
  sent.end()
  const [response] = await once(sent, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }
}

/** The open descriptors of this process that lie in `folder`. */
export async function openFilesIn(folder: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const places = await Promise.all(
    descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return places.filter((place) => place.startsWith(`${folder}/`))
}
