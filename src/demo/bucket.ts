/**
 * A small S3-compatible server with R2's documented semantics, for the demo and for tests that need faults.
 *
 * Signatures are really checked and conditions really hold, except that DELETE ignores If-Match, for which R2
 * documents nothing. `test/contract/bucket.test.ts` holds it and a real store to the same promises.
 */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { type Answer, type Fault, sendAnswer } from './bucket-answer.ts'
import {
  deleteObject,
  listObjects,
  type ObjectRequest,
  readObject,
  xmlAnswer,
} from './bucket-objects.ts'
import { type Operation, type Route, routeOf, WRITES } from './bucket-routes.ts'
import { checkSignature } from './bucket-signature.ts'
import { type ObjectStore, openStore, type VirtualObject } from './bucket-store.ts'
import { createUploads, type Uploads } from './bucket-uploads.ts'
import { renderError, renderXml, S3Error, type XmlPair } from './bucket-xml.ts'

export type { Fault } from './bucket-answer.ts'
export type { Operation } from './bucket-routes.ts'
export type { VirtualObject } from './bucket-store.ts'

export interface AccessKey {
  accessKey: string
  secretKey: string
}

export interface BucketServerOptions extends AccessKey {
  /** Created when absent; what an earlier server left there is served again. */
  dir: string
  /** 0 takes a free one. */
  port: number
  host?: string
  bucket: string
  /** May read and list, nothing else. */
  readOnlyKey?: AccessKey
  /** Looked at before anything is checked or done. */
  onRequest?: (request: SeenRequest) => Fault | undefined
  /** Objects made on the fly; may be changed while the server runs. */
  virtual?: Map<string, VirtualObject>
  /** False: no CRC-64/NVME is kept for new objects. */
  checksums?: boolean
  /** The protocol's 5 MiB unless a test wants small parts. */
  minPartBytes?: number
  clock?: () => Date
}

export interface SeenRequest {
  method: string
  operation: Operation
  bucket: string
  /** As the client sent it; null for requests to the bucket itself. */
  key: string | null
  query: ReadonlyMap<string, string>
  headers: IncomingHttpHeaders
}

export interface LoggedRequest {
  method: string
  operation: Operation
  key: string | null
  /** Null until it is decided; also set when the answer was then lost on purpose. */
  status: number | null
  /** Those that steer an operation: conditions, range, checksum mode. */
  headers: Record<string, string>
  /** Of the answer's body. */
  sentBytes: number
  /** Milliseconds on the process's monotonic clock, when it arrived. */
  at: number
}

export interface BucketServer {
  endpoint: string
  port: number
  /** The latest 10,000, oldest first. */
  requests: readonly LoggedRequest[]
  setLastModified(key: string, to: Date): void
  /** Ends open connections too. */
  close(): Promise<void>
}

interface Service {
  options: BucketServerOptions
  store: ObjectStore
  uploads: Uploads
  log: LoggedRequest[]
}

const LOG_LENGTH = 10_000
const LOGGED_HEADERS = /^(if-.+|range|x-amz-checksum-mode|x-amz-copy-source|content-length)$/

/** @throws PORT_TAKEN */
export async function startBucket(options: BucketServerOptions): Promise<BucketServer> {
  const virtual = options.virtual ?? new Map<string, VirtualObject>()
  const store = await openStore(join(options.dir, 'objects'), virtual)
  const uploads = createUploads({
    dir: join(options.dir, 'uploads'),
    bucket: options.bucket,
    store,
    minPartBytes: options.minPartBytes ?? 5 << 20,
    checksums: options.checksums ?? true,
    now: options.clock ?? (() => new Date()),
  })
  const service: Service = { options, store, uploads, log: [] }
  // Uploads may take long; an idle client decides itself when to go.
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 })
  server.on('request', (req, res) => void serve(service, req, res))
  const host = options.host ?? '127.0.0.1'
  const port = await listen(server, { host, port: options.port })
  return {
    endpoint: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    requests: service.log,
    setLastModified: (key, to) => store.setLastModified(key.normalize('NFC'), to),
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function listen(server: Server, where: { host: string; port: number }): Promise<number> {
  try {
    server.listen(where)
    await once(server, 'listening')
  } catch (error) {
    const taken = systemCode(error) === 'EADDRINUSE'
    const why = taken ? 'is in use' : `cannot be opened (${systemCode(error)})`
    throw new AppError('PORT_TAKEN', `port ${where.port} for the demo bucket ${why}`, {
      cause: error,
      hint: 'Stop the other program or choose another port.',
    })
  }
  return (server.address() as AddressInfo).port
}

/** One request from arrival to answer; never rejects. */
async function serve(service: Service, req: IncomingMessage, res: ServerResponse): Promise<void> {
  req.on('error', () => {}) // a broken upload shows where its body is read
  const entry: LoggedRequest = {
    method: req.method ?? '',
    operation: 'Unknown',
    key: null,
    status: null,
    headers: loggedHeaders(req.headers),
    sentBytes: 0,
    at: performance.now(),
  }
  service.log.push(entry)
  if (service.log.length > LOG_LENGTH) service.log.shift()
  let fault: Fault | undefined
  let answer: Answer
  try {
    const route = routeOf(entry.method, req.url ?? '/')
    entry.operation = route.operation
    entry.key = route.key
    const { operation, bucket, key, query } = route
    const seen = { method: entry.method, operation, bucket, key, query, headers: req.headers }
    fault = await settled(service.options.onRequest?.(seen))
    if (fault?.kind === 'drop') {
      req.destroy()
      return
    }
    const given = { req, ignoreRange: fault?.kind === 'whole' }
    answer = fault?.kind === 'answer' ? invented(fault, key) : await perform(service, route, given)
  } catch (error) {
    answer = refusal(error, entry.key)
  }
  entry.status = answer.status
  if (entry.method === 'HEAD') delete answer.body
  req.resume() // what was refused unread
  const onSent = (bytes: number) => {
    entry.sentBytes += bytes
  }
  await sendAnswer(res, answer, { fault, onSent }).catch(() => res.destroy())
}

/** Waits out delays. */
async function settled(fault: Fault | undefined): Promise<Fault | undefined> {
  if (fault?.kind !== 'delay') return fault
  await fault.until
  return settled(fault.then)
}

async function perform(
  service: Service,
  route: Route,
  { req, ignoreRange }: { req: IncomingMessage; ignoreRange: boolean },
): Promise<Answer> {
  const { options, store, uploads } = service
  const { operation } = route
  const keys = [options, ...(options.readOnlyKey ? [options.readOnlyKey] : [])]
  const signer = checkSignature(
    { method: req.method ?? '', target: req.url ?? '/', headers: req.headers },
    {
      secretOf: (given) => keys.find(({ accessKey }) => accessKey === given)?.secretKey ?? null,
      now: (options.clock ?? (() => new Date()))(),
    },
  )
  const readOnly = signer.accessKey !== options.accessKey
  if (readOnly && WRITES.has(operation)) throw new S3Error(403, 'AccessDenied')
  if (operation === 'ListBuckets') return listBuckets(options.bucket)
  if (route.bucket !== options.bucket) throw new S3Error(404, 'NoSuchBucket')
  if (req.headers['x-amz-copy-source'] !== undefined) throw new S3Error(501, 'NotImplemented')
  const body = { source: req, payload: signer.payload }
  const key = (route.key ?? '').normalize('NFC') // R2 treats NFC-equal keys as one object
  const { range: _, ...withoutRange } = req.headers
  const headers = ignoreRange ? withoutRange : req.headers
  const request: ObjectRequest = { key, headers, query: route.query }
  switch (operation) {
    case 'HeadBucket':
      return { status: 200, headers: {} }
    case 'ListObjectsV2':
      return listObjects(store, options.bucket, route.query)
    case 'GetObject':
    case 'HeadObject':
      return readObject(store, request, { withBody: operation === 'GetObject' })
    case 'DeleteObject':
      return deleteObject(store, request)
    case 'PutObject':
      return uploads.put(request, body)
    case 'CreateMultipartUpload':
      return uploads.create(request)
    case 'UploadPart':
      return uploads.putPart(request, body)
    case 'CompleteMultipartUpload':
      return uploads.complete(request, body)
    case 'AbortMultipartUpload':
      return uploads.abort(request)
    case 'GetBucketLifecycleConfiguration':
      throw new S3Error(404, 'NoSuchLifecycleConfiguration')
    case 'Unknown':
      throw new S3Error(501, 'NotImplemented')
  }
}

function listBuckets(bucket: string): Answer {
  const one: XmlPair = ['Bucket', [['Name', bucket]]]
  return xmlAnswer(renderXml('ListAllMyBucketsResult', [['Buckets', [one]]]))
}

function invented(fault: Extract<Fault, { kind: 'answer' }>, key: string | null): Answer {
  const details = fault.message === undefined ? {} : { message: fault.message }
  const answer = refusal(new S3Error(fault.status, fault.code, details), key)
  if (fault.text === undefined) return answer
  const { status, body, headers } = { ...xmlAnswer(fault.text), status: fault.status }
  return { status, headers: { ...headers, 'Content-Type': 'text/html' }, ...(body && { body }) }
}

/** What is no refusal is a defect: it shows as 500 and keeps its text to itself. */
function refusal(error: unknown, key: string | null): Answer {
  const known = error instanceof S3Error ? error : new S3Error(500, 'InternalError')
  const answer = xmlAnswer(renderError(known, key))
  return { ...answer, status: known.status, headers: { ...answer.headers, ...known.headers } }
}

function loggedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      LOGGED_HEADERS.test(name) && typeof value === 'string' ? [[name, value]] : [],
    ),
  )
}
