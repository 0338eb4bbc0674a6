import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { systemCode } from '../errors.ts'
import type { Answer } from './bucket-answer.ts'
import { checkPutConditions, type ObjectRequest, xmlAnswer } from './bucket-objects.ts'
import type { Landed, ObjectStore } from './bucket-store.ts'
import { parseParts, renderXml, S3Error } from './bucket-xml.ts'

/** Everything that stores bytes: one-request uploads and multipart ones. */
export interface Uploads {
  put(request: ObjectRequest, body: Upload): Promise<Answer>
  create(request: ObjectRequest): Promise<Answer>
  putPart(request: ObjectRequest, body: Upload): Promise<Answer>
  complete(request: ObjectRequest, body: Upload): Promise<Answer>
  abort(request: ObjectRequest): Promise<Answer>
}

/** A request body and the digest that its signature vouches for. */
export interface Upload {
  source: IncomingMessage
  /** SHA-256 in hex, or UNSIGNED-PAYLOAD. */
  payload: string
}

export interface UploadOptions {
  dir: string
  bucket: string
  store: ObjectStore
  minPartBytes: number
  /** False for a store that keeps no checksums. */
  checksums: boolean
  now(): Date
}

interface OpenUpload {
  key: string
  headers: Record<string, string>
}

interface Part {
  number: number
  file: string
  md5: string
  sizeBytes: number
}

const MAX_XML_BYTES = 4 << 20

export function createUploads(options: UploadOptions): Uploads {
  const { dir, store } = options
  const folderOf = (request: ObjectRequest) => uploadFolder(dir, request)
  return {
    put: async (request, body) => {
      checkPutConditions(store.find(request.key), request.headers)
      const landed = await landChecked(store, body)
      const etag = landed.md5.toString('hex')
      const headers = keptHeaders(request.headers)
      finish(options, { request, landed, etag, parts: null, headers })
      return { status: 200, headers: { ETag: `"${etag}"` } }
    },
    create: async ({ key, headers }) => {
      const id = randomUUID()
      await mkdir(join(dir, id), { recursive: true })
      const upload: OpenUpload = { key, headers: keptHeaders(headers) }
      await writeFile(join(dir, id, 'upload.json'), JSON.stringify(upload))
      return xmlAnswer(
        renderXml('InitiateMultipartUploadResult', [
          ['Bucket', options.bucket],
          ['Key', key],
          ['UploadId', id],
        ]),
      )
    },
    putPart: async (request, body) => {
      const { folder } = await folderOf(request)
      const number = Number(request.query.get('partNumber'))
      if (!(number >= 1 && number <= 10_000)) throw new S3Error(400, 'InvalidArgument')
      const landed = await landChecked(store, body)
      const md5 = landed.md5.toString('hex')
      for (const old of (await partsIn(folder)).filter((part) => part.number === number)) {
        await rm(join(folder, old.file))
      }
      const file = `${number}.${md5}.${landed.sizeBytes}`
      await rename(store.pathOf(landed), join(folder, file))
      return { status: 200, headers: { ETag: `"${md5}"` } }
    },
    complete: async (request, body) => {
      const { folder, upload } = await folderOf(request)
      const wanted = parseParts(await text(body))
      const parts = chosenParts(await partsIn(folder), wanted, options.minPartBytes)
      const landed = await store.land(joined(parts.map((part) => join(folder, part.file))))
      const etag = `${md5OfParts(parts)}-${parts.length}`
      const sizes = parts.map((part) => part.sizeBytes)
      finish(options, { request, landed, etag, parts: sizes, headers: upload.headers })
      await rm(folder, { recursive: true })
      return xmlAnswer(
        renderXml('CompleteMultipartUploadResult', [
          ['Bucket', options.bucket],
          ['Key', request.key],
          ['ETag', `"${etag}"`],
        ]),
      )
    },
    abort: async (request) => {
      const { folder } = await folderOf(request)
      await rm(folder, { recursive: true })
      return { status: 204, headers: {} }
    },
  }
}

interface Finished {
  request: ObjectRequest
  landed: Landed
  etag: string
  parts: number[] | null
  headers: Record<string, string>
}

/** Conditions are asked again at the moment of change: the upload took its time. */
function finish({ store, checksums, now }: UploadOptions, finished: Finished): void {
  const { request, landed, etag, parts, headers } = finished
  try {
    checkPutConditions(store.find(request.key), request.headers)
  } catch (error) {
    store.discard(landed)
    throw error
  }
  store.commit(landed, {
    key: request.key,
    sizeBytes: landed.sizeBytes,
    etag,
    lastModified: now().getTime(),
    crc64nvme: checksums ? landed.crc64nvme : null,
    parts,
    headers,
  })
}

/** Lands a body and compares every digest that the client gave. @throws S3Error 400, 411, 501 */
async function landChecked(store: ObjectStore, { source, payload }: Upload): Promise<Landed> {
  const { headers } = source
  if (headers['content-length'] === undefined) throw new S3Error(411, 'MissingContentLength')
  // Bodies in signed or trailing chunks are refused rather than stored with their framing.
  const framed = payload.startsWith('STREAMING-') || headers['x-amz-checksum-crc32c'] !== undefined
  if (framed) throw new S3Error(501, 'NotImplemented')
  const sha256 = createHash('sha256')
  const sha1 = createHash('sha1')
  let crc = 0
  async function* watched() {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      sha256.update(chunk)
      if (headers['x-amz-checksum-sha1'] !== undefined) sha1.update(chunk)
      if (headers['x-amz-checksum-crc32'] !== undefined) crc = crc32(chunk, crc)
      yield chunk
    }
  }
  const landed = await store.land(watched())
  const digest = sha256.digest()
  const crcBytes = Buffer.alloc(4)
  crcBytes.writeUInt32BE(crc)
  const found: [header: string, value: string, code: string][] = [
    ['content-md5', landed.md5.toString('base64'), 'BadDigest'],
    ['x-amz-checksum-sha256', digest.toString('base64'), 'BadDigest'],
    ['x-amz-checksum-sha1', sha1.digest('base64'), 'BadDigest'],
    ['x-amz-checksum-crc32', crcBytes.toString('base64'), 'BadDigest'],
    ['x-amz-checksum-crc64nvme', landed.crc64nvme, 'BadDigest'],
  ]
  const wrong = found.find(([header, value]) => (headers[header] ?? value) !== value)
  const badPayload = payload !== 'UNSIGNED-PAYLOAD' && payload !== digest.toString('hex')
  if (wrong === undefined && !badPayload) return landed
  store.discard(landed)
  throw new S3Error(400, wrong?.[2] ?? 'XAmzContentSHA256Mismatch')
}

async function uploadFolder(
  dir: string,
  { key, query }: ObjectRequest,
): Promise<{ folder: string; upload: OpenUpload }> {
  const id = query.get('uploadId') ?? ''
  // The id becomes a folder name, so only what `create` can have made is let through.
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new S3Error(404, 'NoSuchUpload')
  const folder = join(dir, id)
  try {
    const upload = JSON.parse(await readFile(join(folder, 'upload.json'), 'utf8')) as OpenUpload
    if (upload.key === key) return { folder, upload }
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  throw new S3Error(404, 'NoSuchUpload')
}

async function partsIn(folder: string): Promise<Part[]> {
  const names = (await readdir(folder)).filter((name) => name !== 'upload.json')
  return names.map((file) => {
    const [number = '', md5 = '', size = ''] = file.split('.')
    return { number: Number(number), file, md5, sizeBytes: Number(size) }
  })
}

/** The parts that the client named, in its order. @throws S3Error as R2 does */
function chosenParts(
  uploaded: Part[],
  wanted: { number: number; etag: string }[],
  minPartBytes: number,
): Part[] {
  const parts = wanted.map(({ number, etag }, index) => {
    const before = wanted[index - 1]
    if (before !== undefined && before.number >= number) throw new S3Error(400, 'InvalidPartOrder')
    const part = uploaded.find((part) => part.number === number && part.md5 === etag)
    if (part === undefined) throw new S3Error(400, 'InvalidPart')
    return part
  })
  const size = parts[0]?.sizeBytes ?? 0
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1
    if (!last && part.sizeBytes < minPartBytes) throw new S3Error(400, 'EntityTooSmall')
    // R2 wants all parts but the last to be of one size.
    if (last ? part.sizeBytes > size : part.sizeBytes !== size)
      throw new S3Error(400, 'InvalidPart')
  }
  return parts
}

function md5OfParts(parts: Part[]): string {
  const digests = parts.map((part) => Buffer.from(part.md5, 'hex'))
  return createHash('md5').update(Buffer.concat(digests)).digest('hex')
}

async function* joined(paths: string[]): AsyncGenerator<Buffer> {
  for (const path of paths) yield* createReadStream(path, { highWaterMark: 1 << 20 })
}

async function text({ source, payload }: Upload): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_XML_BYTES) throw new S3Error(400, 'MalformedXML')
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  const digest = createHash('sha256').update(bytes).digest('hex')
  if (payload !== 'UNSIGNED-PAYLOAD' && payload !== digest) {
    throw new S3Error(400, 'XAmzContentSHA256Mismatch')
  }
  return bytes.toString('utf8')
}

/** The request headers that belong to the object. */
function keptHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept =
    /^(content-type|content-encoding|content-disposition|content-language|cache-control|x-amz-meta-.+)$/
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      kept.test(name) && typeof value === 'string' ? [[name, value]] : [],
    ),
  )
}
