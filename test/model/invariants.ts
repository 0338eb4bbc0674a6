import type { SimEntry } from '../support/sim-disk.ts'
import { sha256Of } from '../support/sim-inodes.ts'
import type { BucketState, Version } from './sim-bucket.ts'
import type { ItemRecord, SimTables } from './sim-tables.ts'

/** What a judge who knows nothing of the product's code may look at. */
export interface Evidence {
  tree: Map<string, SimEntry>
  errors: Map<string, SimEntry>
  tables: SimTables
  bucket: BucketState
  foreign: Map<string, Buffer>
  /** Files that the disk itself has spoiled, or somebody has removed: their archived paths and inodes. */
  damaged: Map<string, number>
  linksRefused: boolean
  /** A worker went on without its lease: it may have filed something under a name that its own intent committed. */
  late: boolean
}

/** Stands for the inode of what somebody has removed. */
export const REMOVED = 0

const RECORDED = ['archived', 'releasing', 'released', 'source_differs']
const RELEASED_OR_NOT = [...RECORDED, 'lost']

/** @returns every promise of the protocol that this state of the world breaks */
export function violations(evidence: Evidence): string[] {
  return [
    ...sourcesGoneWithoutCopy(evidence),
    ...falselyArchived(evidence),
    ...deletionsTooEarly(evidence),
    ...neverDeleted(evidence),
    ...lostAside(evidence),
    ...lostButServed(evidence),
    ...damagedThrownAway(evidence),
    ...badFinalNames(evidence),
    ...auditMistakes(evidence),
    ...falselyRejected(evidence),
  ]
}

function* sourcesGoneWithoutCopy({ bucket, tree }: Evidence): Iterable<string> {
  const kept = new Set(
    [...tree].filter(([path]) => isFinal(path)).map(([, file]) => sha256Of(file.content)),
  )
  for (const { versionId, key } of bucket.deletions) {
    const version = versionOf(bucket, versionId)
    if (isProbe(key)) continue
    if (!kept.has(sha256Of(version.bytes)))
      yield `I1: ${key} ${versionId} was deleted and has no copy`
  }
}

function* falselyArchived(evidence: Evidence): Iterable<string> {
  const { tables, tree, bucket, damaged } = evidence
  for (const item of tables.items.filter(({ state }) => RECORDED.includes(state))) {
    const path = item.archivePath ?? '(none)'
    const file = tree.get(path)
    // While it is healed there is nothing for a moment, and everybody is told.
    const isHealing = item.state === 'releasing' || item.damage !== null
    if (isExcused(evidence, path) || (damaged.has(path) && isHealing)) continue
    const version = bucket.uploaded.find(({ etag }) => etag === item.intent?.source.etag)
    const who = `item ${item.id} is ${item.state}`
    if (file === undefined) yield `I2: ${who}, but ${path} is not there`
    else if (!version || sha256Of(file.content) !== sha256Of(version.bytes))
      yield `I2: ${who}, but ${path} has other bytes`
    else if (file.mode !== 0o644) yield `I2: ${who}, but ${path} may be read by nobody else`
    const fault = sidecarFault(tree.get(`${path}.json`), item)
    if (fault !== null && !isExcused(evidence, `${path}.json`))
      yield `I2: ${who}, but its sidecar ${fault}`
  }
  for (const media of tables.media.filter(({ status }) => status === 'archived')) {
    const own = tables.items.filter(({ mediaId }) => mediaId === media.id)
    const item = own.find(({ archivePath }) => archivePath === media.archivePath)
    if (item === undefined || !RELEASED_OR_NOT.includes(item.state))
      yield `I2: media row ${media.id} says archived, but no item does`
    else if (media.checksum !== item.intent?.sha256)
      yield `I2: media row ${media.id} has another hash`
  }
}

/** What somebody else has spoiled is not our fault, until a source is deleted in the belief that it is sound. */
function isExcused({ damaged, tree, tables }: Evidence, path: string): boolean {
  const inode = tree.get(path)?.inode ?? REMOVED
  const owner = tables.items.find(({ archivePath }) => archivePath === path.replace(/\.json$/, ''))
  return damaged.get(path) === inode && owner?.state !== 'released'
}

function sidecarFault(file: SimEntry | undefined, item: ItemRecord): string | null {
  if (file === undefined) return 'is not there'
  const told = parseSealed(file.content)
  if (told === null) return 'is torn'
  const source = told.source as Record<string, unknown>
  const right =
    told.media_id === item.mediaId &&
    told.archive_path === item.archivePath &&
    told.bytes === item.intent?.source.sizeBytes &&
    told.sha256 === item.intent?.sha256 &&
    source.etag === item.intent?.source.etag
  return right ? null : 'tells of another file'
}

const parsed = new WeakMap<Buffer, { told: Record<string, unknown> | null }>()

/** Thousands of states show the same few sidecars. */
function parseSealed(content: Buffer): Record<string, unknown> | null {
  const known = parsed.get(content)
  if (known !== undefined) return known.told
  const told = parseSealedAnew(content)
  parsed.set(content, { told })
  return told
}

/** @returns null unless the text is JSON whose own hash fits it */
function parseSealedAnew(content: Buffer): Record<string, unknown> | null {
  try {
    const { self_sha256: seal, ...rest } = JSON.parse(content.toString()) as Record<string, unknown>
    return seal === sha256Of(Buffer.from(JSON.stringify(sorted(rest)))) ? rest : null
  } catch {
    return null // torn
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

function* deletionsTooEarly({ bucket, tables }: Evidence): Iterable<string> {
  for (const deletion of bucket.deletions.filter(({ key }) => !isProbe(key))) {
    const { key, etag, by, nowMs } = deletion
    const what = `I3: ${key} ${deletion.versionId} was deleted by ${by}`
    const holder = deletion.items.find(({ id, state, leaseOwner, leaseUntil }) => {
      const right = tables.items.some((item) => item.id === id && item.intent?.source.etag === etag)
      return right && state === 'releasing' && leaseOwner === by && Number(leaseUntil) >= nowMs
    })
    if (holder === undefined) yield `${what}, who did not hold its release`
    const recorded = tables.audit.some(
      ({ action, details }) => action === 'archived' && details.item === holder?.id,
    )
    if (holder !== undefined && !recorded) yield `${what} before it was recorded`
  }
}

function* neverDeleted({ bucket, tables }: Evidence): Iterable<string> {
  for (const { id, state, intent } of tables.items) {
    const { key, versionId } = intent?.source ?? {}
    const live = key === undefined ? undefined : bucket.live.get(key)
    if (state === 'released' && live !== undefined && live.versionId === versionId)
      yield `I3: item ${id} is released, but ${key} ${versionId} was not deleted`
  }
}

/** What was withdrawn is set aside, and a person is told where. */
function* lostAside({ tables, tree, bucket }: Evidence): Iterable<string> {
  for (const { id, state, errorMessage, intent } of tables.items) {
    const [, path] = /^the copy lies in (.+)$/.exec(errorMessage ?? '') ?? []
    if (state !== 'withdrawn' || path === undefined) continue
    const version = bucket.uploaded.find(({ etag }) => etag === intent?.source.etag)
    if (!version || !tree.get(path)?.content.equals(version.bytes))
      yield `I7: item ${id} is withdrawn, but its copy is not in ${path}`
  }
}

function* lostButServed({ tables, tree, foreign }: Evidence): Iterable<string> {
  for (const { id, archivePath } of tables.items.filter(({ state }) => state === 'lost')) {
    const path = archivePath ?? '(none)'
    if (tree.has(path) && !foreign.has(path)) yield `I4: item ${id} is lost, but ${path} is served`
  }
}

/** Wrong bytes are set aside, never deleted: perhaps only the reading was wrong. */
function* damagedThrownAway({ damaged, tree, linksRefused }: Evidence): Iterable<string> {
  // Without links a power cut may take both names of a rename.
  if (linksRefused) return
  const inodes = new Set([...tree.values()].map(({ inode }) => inode))
  for (const [path, inode] of damaged)
    if (inode !== REMOVED && !path.endsWith('.json') && !inodes.has(inode))
      yield `I7: what lay at ${path} is gone`
}

function* badFinalNames(evidence: Evidence): Iterable<string> {
  const { tree, bucket, foreign } = evidence
  for (const [path, content] of foreign) {
    const file = tree.get(path)
    if (file === undefined) yield `I4: the foreign file ${path} is gone`
    else if (!file.content.equals(content)) yield `I4: the foreign file ${path} was changed`
  }
  const whole = new Set(bucket.uploaded.map(({ bytes }) => sha256Of(bytes)))
  for (const [path, file] of tree) {
    if (file.kind === 'folder' || !isFinal(path) || foreign.has(path)) continue
    if (isExcused(evidence, path)) continue
    if (path.endsWith('.json')) {
      if (parseSealed(file.content) === null) yield `I4: the sidecar ${path} is torn`
    } else if (!whole.has(sha256Of(file.content))) yield `I4: ${path} shows partial bytes`
  }
}

function* auditMistakes({ tables }: Evidence): Iterable<string> {
  for (const item of tables.items) {
    const rows = (action: string) =>
      tables.audit.filter((row) => row.action === action && row.details.item === item.id).length
    const recorded = RELEASED_OR_NOT.includes(item.state) ? 1 : 0
    if (rows('archived') !== recorded)
      yield `I5: item ${item.id} is ${item.state} with ${rows('archived')} archived rows`
    const released = rows('source_deleted')
    if (released > 1 || (item.state === 'released' && released !== 1))
      yield `I5: item ${item.id} is ${item.state} with ${released} source_deleted rows`
  }
}

function* falselyRejected({ tables, errors, bucket }: Evidence): Iterable<string> {
  for (const item of tables.items.filter(({ state }) => state === 'rejected')) {
    const { report } = tables.audit.find(({ details }) => details.item === item.id)?.details ?? {}
    const told = errors.get(String(report))
    const copy = errors.get(String(report).replace(/\.report\.json$/, ''))
    const versions = bucket.uploaded.filter(({ key }) => key === item.objectKey)
    if (!told || !copy || !versions.some(({ bytes }) => bytes.equals(copy.content)))
      yield `I7: item ${item.id} is rejected without a whole copy and a report`
  }
}

/** @returns what readers would see of a file that has no description, in a world that is not torn by a power cut */
export function* undescribedFiles({ tree, foreign }: Evidence): Iterable<string> {
  for (const [path, { kind }] of tree) {
    if (kind === 'folder' || !isFinal(path) || path.endsWith('.json') || foreign.has(path)) continue
    if (!tree.has(`${path}.json`)) yield `I2: ${path} is seen without its sidecar`
  }
}

/** @returns final names that nobody will ever look for, in a world where all work is done */
export function orphans({ tree, foreign, tables, late }: Evidence): string[] {
  const known = new Set(tables.items.map(({ archivePath }) => archivePath))
  if (late) for (const path of tables.named) known.add(path)
  return [...tree]
    .filter(([path, { kind }]) => kind === 'file' && isFinal(path) && !foreign.has(path))
    .filter(([path]) => !known.has(path.replace(/\.json$/, '')))
    .map(([path]) => `I9: ${path} belongs to no item`)
}

/** A name that people and the file server see. */
export function isFinal(path: string): boolean {
  return !path.startsWith('.strongroom')
}

/** Made by the product itself, to see what the bucket honours. */
export function isProbe(key: string): boolean {
  return key.startsWith('.strongroom-probe-')
}

function versionOf(bucket: BucketState, versionId: string): Version {
  const version = bucket.uploaded.find((uploaded) => uploaded.versionId === versionId)
  if (version === undefined) throw new Error(`no version ${versionId} was ever uploaded`)
  return version
}
