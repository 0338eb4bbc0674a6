/** What a sidecar of another service claims, whatever its names are, against what is known of the file. */

/** The values that are right for each fact; a fact without any is not judged. */
export interface KnownFacts {
  mediaId: number
  userId: readonly (number | null)[]
  title: readonly (string | null)[]
  filename: readonly (string | null)[]
  /** The kind, or what the backend calls it. */
  kind: readonly (string | null)[]
  mimeType: readonly (string | null)[]
  bytes: readonly number[]
  sha256: readonly string[]
  etag: readonly string[]
  key: string | null
  /** Relative to the archive. */
  path: string
  durationSeconds: number | null
  /** Of all pictures in it. */
  widths: readonly number[]
  heights: readonly number[]
  approvedAt: Date | null
}

type Judge = (value: string, known: KnownFacts) => boolean

const oneOf =
  (values: (known: KnownFacts) => readonly (string | number | null)[]): Judge =>
  (value, known) => {
    const right = values(known).filter((one) => one !== null)
    return right.length === 0 || right.some((one) => String(one) === value)
  }

const hexOf =
  (length: number, values: (known: KnownFacts) => readonly string[]): Judge =>
  (value, known) => {
    // A checksum of another kind cannot be compared.
    if (value.length !== length || !/^[0-9a-f]+$/i.test(value)) return true
    return oneOf(values)(value.toLowerCase(), known)
  }

const isKind: Judge = (value, known) =>
  value.includes('/') ? isMime(value, known) : oneOf(({ kind }) => kind)(value, known)
const isMime: Judge = oneOf(({ mimeType }) => mimeType)

const endsWithPath: Judge = (value, { path }) =>
  value === path || value.endsWith(`/${path}`) || value === path.slice(0, path.lastIndexOf('/'))

/** Programs round differently, and a container's duration is not that of its streams. */
const lasts: Judge = (value, { durationSeconds }) => {
  const claimed = Number(value)
  if (durationSeconds === null || Number.isNaN(claimed)) return true
  return Math.abs(claimed - durationSeconds) <= Math.max(1, durationSeconds * 0.02)
}

const atTime: Judge = (value, { approvedAt }) => {
  const claimed = Date.parse(value)
  if (approvedAt === null || Number.isNaN(claimed)) return true
  return Math.abs(claimed - approvedAt.getTime()) < 1000
}

/** By name without capitals, dashes and underscores. */
const judges: Readonly<Record<string, Judge>> = {
  mediaid: oneOf(({ mediaId }) => [mediaId]),
  userid: oneOf(({ userId }) => userId),
  title: oneOf(({ title }) => title),
  filename: oneOf(({ filename }) => filename),
  originalfilename: oneOf(({ filename }) => filename),
  originalname: oneOf(({ filename }) => filename),
  contenttype: isKind,
  mediatype: isKind,
  mimetype: isMime,
  bytes: oneOf(({ bytes }) => bytes),
  size: oneOf(({ bytes }) => bytes),
  filesize: oneOf(({ bytes }) => bytes),
  sizebytes: oneOf(({ bytes }) => bytes),
  sha256: hexOf(64, ({ sha256 }) => sha256),
  checksumsha256: hexOf(64, ({ sha256 }) => sha256),
  checksum: hexOf(64, ({ sha256 }) => sha256),
  hash: hexOf(64, ({ sha256 }) => sha256),
  md5: hexOf(32, ({ etag }) => etag.filter((one) => /^[0-9a-f]{32}$/.test(one))),
  etag: oneOf(({ etag }) => etag),
  objectkey: oneOf(({ key }) => [key]),
  key: oneOf(({ key }) => [key]),
  r2key: oneOf(({ key }) => [key]),
  s3key: oneOf(({ key }) => [key]),
  sourcekey: oneOf(({ key }) => [key]),
  archivepath: endsWithPath,
  filepath: endsWithPath,
  path: endsWithPath,
  duration: lasts,
  durationseconds: lasts,
  width: oneOf(({ widths }) => widths),
  height: oneOf(({ heights }) => heights),
  approvedat: atTime,
}

/**
 * @param sidecar as it was parsed; facts may lie one level deep (`media.id`, `source.key`)
 * @returns one clause for each fact that is wrong; names that are not known are not judged
 */
export function wrongFacts(
  sidecar: Readonly<Record<string, unknown>>,
  known: KnownFacts,
): string[] {
  const wrong: string[] = []
  for (const [name, value] of flat(sidecar)) {
    const text = plain(value)
    const judge = judges[simple(name)]
    if (text === null || judge === undefined || judge(text, known)) continue
    wrong.push(`${name} is ${JSON.stringify(text)}`)
  }
  return wrong
}

function* flat(sidecar: Readonly<Record<string, unknown>>): Generator<[string, unknown]> {
  for (const [name, value] of Object.entries(sidecar)) {
    // What was declared may well differ from what was found.
    if (name === 'declared') continue
    // A bare id is the medium's where the object is.
    if (name === 'id') yield ['media_id', value]
    else if (isObject(value)) {
      for (const [inner, deep] of Object.entries(value))
        yield [inner === 'id' && simple(name) === 'media' ? 'media_id' : inner, deep]
    } else yield [name, value]
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @returns null for what says nothing, and for lists */
function plain(value: unknown): string | null {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}

function simple(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, '')
}
