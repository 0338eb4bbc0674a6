import { decoded, parseQuery } from './bucket-signature.ts'

export type Operation =
  | 'ListBuckets'
  | 'HeadBucket'
  | 'ListObjectsV2'
  | 'GetBucketLifecycleConfiguration'
  | 'GetObject'
  | 'HeadObject'
  | 'PutObject'
  | 'DeleteObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'Unknown'

/** What a read-only key may not do. */
export const WRITES: ReadonlySet<Operation> = new Set<Operation>([
  'PutObject',
  'DeleteObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
  'Unknown',
])

export interface Route {
  operation: Operation
  bucket: string
  key: string | null
  query: Map<string, string>
}

const LISTING = [
  'list-type',
  'prefix',
  'delimiter',
  'max-keys',
  'continuation-token',
  'start-after',
  'encoding-type',
  'fetch-owner',
]

/** Operation by method and level, then by the query names that it needs and those that it may have. */
const ROUTES: { on: string; operation: Operation; needs?: string[]; may?: string[] }[] = [
  { on: 'GET service', operation: 'ListBuckets' },
  { on: 'HEAD bucket', operation: 'HeadBucket' },
  { on: 'GET bucket', operation: 'ListObjectsV2', needs: ['list-type'], may: LISTING },
  { on: 'GET bucket', operation: 'GetBucketLifecycleConfiguration', needs: ['lifecycle'] },
  { on: 'GET key', operation: 'GetObject', may: ['partNumber'] },
  { on: 'HEAD key', operation: 'HeadObject', may: ['partNumber'] },
  { on: 'PUT key', operation: 'UploadPart', needs: ['partNumber', 'uploadId'] },
  { on: 'PUT key', operation: 'PutObject' },
  { on: 'POST key', operation: 'CreateMultipartUpload', needs: ['uploads'] },
  { on: 'POST key', operation: 'CompleteMultipartUpload', needs: ['uploadId'] },
  { on: 'DELETE key', operation: 'AbortMultipartUpload', needs: ['uploadId'] },
  { on: 'DELETE key', operation: 'DeleteObject' },
]

/**
 * Path-style: `/<bucket>/<key>`. The key is everything after the bucket's slash, decoded once and never cleaned:
 * `..`, doubled slashes and a leading slash belong to it.
 */
export function routeOf(method: string, target: string): Route {
  const [path = '/'] = target.split('?', 1)
  const slash = path.indexOf('/', 1)
  const bucket = decoded(slash < 0 ? path.slice(1) : path.slice(1, slash))
  const key = slash < 0 || slash === path.length - 1 ? null : decoded(path.slice(slash + 1))
  const query = new Map(parseQuery(target))
  const level = bucket === '' ? 'service' : key === null ? 'bucket' : 'key'
  const names = [...query.keys()].filter((name) => name !== 'x-id' && !/^x-amz-/i.test(name))
  const route = ROUTES.find(({ on, needs = [], may = [] }) => {
    if (on !== `${method} ${level}` || !needs.every((name) => query.has(name))) return false
    return names.every((name) => needs.includes(name) || may.includes(name))
  })
  return { operation: route?.operation ?? 'Unknown', bucket, key, query }
}
