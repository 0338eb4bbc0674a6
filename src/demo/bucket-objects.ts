import type { IncomingHttpHeaders } from 'node:http'
import type { Answer } from './bucket-answer.ts'
import type { ObjectRecord, ObjectStore } from './bucket-store.ts'
import { renderXml, S3Error, type XmlPair } from './bucket-xml.ts'

/** The part of a request that operations on stored objects look at. */
export interface ObjectRequest {
  key: string
  headers: IncomingHttpHeaders
  query: Map<string, string>
}

/** GET and HEAD: conditions first, then a part or a range or the whole. */
export async function readObject(
  store: ObjectStore,
  { key, headers, query }: ObjectRequest,
  { withBody }: { withBody: boolean },
): Promise<Answer> {
  const opened = await store.open(key)
  if (opened === null) throw new S3Error(404, 'NoSuchKey')
  const { record } = opened
  try {
    const failed = failedCondition(record, headers)
    if (failed === 304) {
      await opened.close()
      return { status: 304, headers: describe(record) }
    }
    if (failed === 412) throw new S3Error(412, 'PreconditionFailed')
    const partNumber = query.get('partNumber')
    const window =
      partNumber === undefined
        ? rangeOf(headers.range, record.sizeBytes)
        : partOf(record, Number(partNumber))
    const [offset, length] = window ?? [0, record.sizeBytes]
    const answer: Answer = {
      status: window === null ? 200 : 206,
      headers: {
        ...describe(record),
        'Content-Length': length,
        ...(window !== null && {
          'Content-Range': `bytes ${offset}-${offset + length - 1}/${record.sizeBytes}`,
        }),
        ...(partNumber !== undefined &&
          record.parts !== null && { 'x-amz-mp-parts-count': record.parts.length }),
        ...(headers['x-amz-checksum-mode'] === 'ENABLED' && window === null && checksum(record)),
      },
    }
    if (withBody) {
      const chunks = opened.read(offset, length)
      answer.body = { sizeBytes: length, chunks, close: opened.close }
    } else await opened.close()
    return answer
  } catch (error) {
    await opened.close()
    throw error
  }
}

function describe(record: ObjectRecord): Record<string, string> {
  return {
    'Content-Type': 'application/octet-stream',
    ...record.headers,
    ETag: `"${record.etag}"`,
    'Last-Modified': new Date(record.lastModified).toUTCString(),
    'Accept-Ranges': 'bytes',
  }
}

function checksum(record: ObjectRecord): Record<string, string> {
  if (record.crc64nvme === null) return {}
  return {
    'x-amz-checksum-crc64nvme': record.crc64nvme,
    'x-amz-checksum-type': 'FULL_OBJECT',
  }
}

/** The status that RFC 9110's order of conditions ends with, or null when all hold. */
function failedCondition(record: ObjectRecord, headers: IncomingHttpHeaders): 304 | 412 | null {
  const seconds = Math.floor(record.lastModified / 1000) * 1000
  const since = (value: string | undefined) => Date.parse(value ?? '')
  if (headers['if-match'] !== undefined) {
    if (!matches(headers['if-match'], record.etag, { weak: false })) return 412
  } else if (seconds > since(headers['if-unmodified-since'])) return 412
  if (headers['if-none-match'] !== undefined) {
    return matches(headers['if-none-match'], record.etag, { weak: true }) ? 304 : null
  }
  return seconds <= since(headers['if-modified-since']) ? 304 : null
}

function matches(header: string, etag: string, { weak }: { weak: boolean }): boolean {
  return header.split(',').some((given) => {
    const one = given.trim()
    if (one === '*') return true
    const strong = one.startsWith('W/') ? (weak ? one.slice(2) : null) : one
    return strong?.replace(/^"(.*)"$/, '$1') === etag
  })
}

/** Offset and length of one range; null (the whole) for none, several or nonsense. */
function rangeOf(header: string | undefined, size: number): [number, number] | null {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return null
  if (first !== '' && last !== '' && Number(last) < Number(first)) return null
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  if (start >= end) {
    throw new S3Error(416, 'InvalidRange', { headers: { 'Content-Range': `bytes */${size}` } })
  }
  return [start, end - start]
}

function partOf(record: ObjectRecord, number: number): [number, number] {
  const parts = record.parts ?? [record.sizeBytes]
  const length = parts[number - 1]
  if (length === undefined) throw new S3Error(416, 'InvalidPartNumber')
  const offset = parts.slice(0, number - 1).reduce((sum, size) => sum + size, 0)
  return [offset, length]
}

/** @throws S3Error 412 when a conditional PUT must not happen */
export function checkPutConditions(
  current: ObjectRecord | null,
  headers: IncomingHttpHeaders,
): void {
  const { 'if-match': wanted, 'if-none-match': unwanted } = headers
  const etag = current?.etag
  if (wanted !== undefined && (etag === undefined || !matches(wanted, etag, { weak: false }))) {
    throw new S3Error(412, 'PreconditionFailed')
  }
  if (unwanted !== undefined && etag !== undefined && matches(unwanted, etag, { weak: true })) {
    throw new S3Error(412, 'PreconditionFailed')
  }
}

/** Unconditional, as R2 documents it: If-Match is not looked at. */
export function deleteObject(store: ObjectStore, { key }: ObjectRequest): Answer {
  store.remove(key)
  return { status: 204, headers: {} }
}

/** ListObjectsV2 with prefix, delimiter, paging and URL encoding. */
export function listObjects(
  store: ObjectStore,
  bucket: string,
  query: Map<string, string>,
): Answer {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const token = query.get('continuation-token')
  const after =
    token === undefined
      ? (query.get('start-after') ?? '')
      : Buffer.from(token, 'base64url').toString('utf8')
  const limit = Math.min(1000, Number(query.get('max-keys') ?? 1000))
  if (!Number.isInteger(limit) || limit < 0) throw new S3Error(400, 'InvalidArgument')
  const url = query.get('encoding-type') === 'url'
  const shown = (text: string) =>
    url ? encodeURIComponent(text).replaceAll('%2F', '/').replaceAll('%20', '+') : text

  const page = pageOf(store.all(), { prefix, delimiter, after, limit })
  const pairs: XmlPair[] = [
    ['Name', bucket],
    ['Prefix', shown(prefix)],
    ['MaxKeys', limit],
    ['KeyCount', page.entries.length],
    ['IsTruncated', page.next !== null],
  ]
  if (url) pairs.push(['EncodingType', 'url'])
  if (page.next !== null) {
    pairs.push(['NextContinuationToken', Buffer.from(page.next).toString('base64url')])
  }
  for (const entry of page.entries) {
    if (typeof entry === 'string') pairs.push(['CommonPrefixes', [['Prefix', shown(entry)]]])
    else pairs.push(['Contents', contentsOf(entry, shown(entry.key))])
  }
  return xmlAnswer(renderXml('ListBucketResult', pairs))
}

function contentsOf(record: ObjectRecord, key: string): XmlPair[] {
  return [
    ['Key', key],
    ['LastModified', new Date(record.lastModified).toISOString()],
    ['ETag', `"${record.etag}"`],
    ['Size', record.sizeBytes],
    ['StorageClass', 'STANDARD'],
  ]
}

interface Window {
  prefix: string
  delimiter: string
  after: string
  limit: number
}

/** A page of objects and, as bare texts, common prefixes; `next` continues it. */
function pageOf(
  records: ObjectRecord[],
  { prefix, delimiter, after, limit }: Window,
): { entries: (ObjectRecord | string)[]; next: string | null } {
  const entries: (ObjectRecord | string)[] = []
  const start = Buffer.from(after)
  let last = ''
  for (const record of records) {
    const { key } = record
    if (!key.startsWith(prefix)) continue
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const group = cut < 0 ? null : key.slice(0, cut + delimiter.length)
    if (Buffer.compare(Buffer.from(key), start) <= 0 || group === after) continue
    if (group !== null && group === entries.at(-1)) continue
    if (entries.length === limit) return { entries, next: limit === 0 ? null : last }
    entries.push(group ?? record)
    last = group ?? key
  }
  return { entries, next: null }
}

export function xmlAnswer(text: string): Answer {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/xml', 'Content-Length': Buffer.byteLength(text) },
    body: text,
  }
}
