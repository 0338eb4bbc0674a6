import { PRIVATE_FOLDER } from '../archive-path.ts'
import { isAppError } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, type Sidecar, sidecarPathOf } from '../sidecar.ts'
import { LOST_AND_FOUND, walkTree } from '../storage/tree.ts'
import type { Finding, FindingKind } from './fsck-findings.ts'
import type { FsckParts } from './fsck-parts.ts'

type TreeParts = Pick<FsckParts, 'disk' | 'volume' | 'owners' | 'current' | 'looked'>

const SIDECAR = /\.json$/
/** Paths that are looked up with one statement. */
const PAGE = 1_000
/** Looks at a spinning disk that are under way at one time. */
const LOOKS = 8

/** Goes through the archive's tree and tells what belongs to no item. */
export async function* findInTree(parts: TreeParts, signal: AbortSignal): AsyncGenerator<Finding> {
  const { disk } = parts
  let page: string[] = []
  for await (const folder of walkTree(disk.root, { start: '', skip: [PRIVATE_FOLDER], signal })) {
    const at = (name: string) => (folder.path === '' ? name : `${folder.path}/${name}`)
    for (const { path, reason } of folder.closed)
      yield found(path === LOST_AND_FOUND ? 'foreign' : 'closed', path, { reason })
    page.push(...[...folder.files, ...folder.others].map(at))
    if (page.length < PAGE) continue
    yield* judge(parts, page, signal)
    page = []
  }
  yield* judge(parts, page, signal)
}

/** @param paths whole folders of them, so that a file and its sidecar come together */
async function* judge(
  parts: TreeParts,
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const { owners, volume } = parts
  // After the listing: an intent is committed before any name of its file appears.
  const owned = await owners(paths.map(ownerPathOf))
  const unowned = paths.filter((path) => !owned.has(ownerPathOf(path)))
  for (const path of paths) {
    const owner = owned.get(path)
    if (owner?.state === 'moved') yield* judgeMoved(parts, path)
  }
  const here = new Set(unowned)
  const strays = unowned.filter((path) => !SIDECAR.test(path) || !here.has(ownerPathOf(path)))
  for (let from = 0; from < strays.length; from += LOOKS) {
    signal.throwIfAborted()
    const looks = strays.slice(from, from + LOOKS).map((path) => judgeStray(parts, path))
    const findings = await Promise.all(looks)
    await volume.verify()
    for (const finding of findings) if (finding !== null) yield finding
  }
  parts.looked('files', paths.length)
}

/** A file whose item is moved, unless a worker is just ending the move, or undoing it. */
async function* judgeMoved(parts: TreeParts, path: string): AsyncGenerator<Finding> {
  if ((await parts.disk.stat(path)) === null) return
  const owner = (await parts.owners([path])).get(path)
  if (owner?.state !== 'moved') return
  const { item, mediaId } = owner
  if ((await parts.current([item])).get(item)?.leased === true) return
  yield found('both', path, { item, mediaId, reason: 'its item is moved to the second bucket' })
}

/** @returns null for what is gone: withdrawn or moved away meanwhile, it belonged to an item when it was listed */
async function judgeStray(parts: TreeParts, path: string): Promise<Finding | null> {
  const facts = await parts.disk.stat(path)
  if (facts === null) return null
  if (facts.kind === 'file') return judgeUnowned(parts, path)
  return found('foreign', path, { reason: 'it is no file, and nothing follows it' })
}

/** The archive path that a name stands for: its own, or the one that it would be the sidecar of. */
function ownerPathOf(path: string): string {
  return path.replace(SIDECAR, '')
}

async function judgeUnowned(parts: TreeParts, path: string): Promise<Finding> {
  const isSidecar = SIDECAR.test(path)
  const sidecar = await readSidecarAt(parts, isSidecar ? path : sidecarPathOf(path))
  if (sidecar === null) return found('foreign', path, { reason: 'no item and no sidecar knows it' })
  const { media_id: mediaId, archive_path: named } = sidecar
  if (isSidecar) return found('orphan', path, { mediaId, reason: `${named} is not beside it` })
  if (named === path) {
    const isOurs = sidecar.proof !== null
    const reason = isOurs
      ? 'its sidecar is ours, and no item has its path'
      : 'it was adopted by its sidecar alone'
    return found(isOurs ? 'unlisted' : 'foreign', path, { mediaId, reason })
  }
  const owner = (await parts.owners([named])).get(named)
  const isGone = owner !== undefined && (await parts.disk.stat(named)) === null
  const reason = `its sidecar names ${named}${isGone ? ', where nothing is' : ''}`
  if (!isGone) return found('foreign', path, { mediaId, reason })
  return found('moved', path, { item: owner.item, mediaId, reason })
}

/** @returns null when there is none, or it cannot be believed */
async function readSidecarAt(
  { disk }: Pick<TreeParts, 'disk'>,
  path: string,
): Promise<Sidecar | null> {
  try {
    const text = await disk.read(path, SIDECAR_MAX_BYTES)
    return text === null ? null : parseSidecar(text)
  } catch (error) {
    if (isAppError(error, 'SIDECAR_INVALID', 'PATH_UNSAFE', 'DISK_DENIED')) return null
    throw error
  }
}

function found(
  kind: FindingKind,
  path: string,
  { item = null, mediaId = null, reason }: Partial<Finding> & { reason: string },
): Finding {
  return { kind, path, item, mediaId, reason }
}
