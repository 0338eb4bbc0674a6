import type { ArchivedFile } from '../db/archived.ts'
import type { Archives } from '../db/archives.ts'
import type { Disk } from '../storage/disk.ts'
import { sweepAdoptions } from './adopt-sidecar.ts'
import type { Finding } from './fsck-findings.ts'
import { leftoverCopies } from './fsck-leftovers.ts'
import { healArchived } from './heal-archived.ts'
import type { HealFoundParts } from './heal-found.ts'
import { mayHeal } from './mass-change.ts'
import { type RelocateOutcome, relocate } from './relocate.ts'
import { peekSidecar } from './sidecar-file.ts'

export type RepairParts = Omit<HealFoundParts, 'archives'> & {
  archives: Pick<Archives, 'find' | 'pauseHealing' | 'resumeHealing'>
  errorDisk: Disk
  /** One archived file as the database tells it now. */
  again: (item: number) => Promise<ArchivedFile | null>
  /** Of each of these paths that living media rows name as their file's, which media these are; slow. */
  owners: (paths: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<number>>>
  now: () => Date
}

/** What was put right, and what could not be. */
export interface Repaired {
  /** Moved by hand, and back in their places. */
  back: number
  /** Fetched again, brought back from quarantine, or given their sidecars. */
  healed: number
  /** There is no other copy. */
  lost: number
  /** Left-over files that were removed. */
  removed: number
  /** Left as they are, for the reasons in the log. */
  left: number
  /** So much is wrong that nothing was touched. */
  stopped: boolean
}

/** What an inspection found, as far as it can be put right. */
export interface Wounds {
  /** Items whose file is missing, of another size or without a good sidecar, and where their files may lie. */
  places: ReadonlyMap<number, readonly string[]>
  /** Something in the archive could not be looked at. */
  unseen: boolean
}

/** Gathers {@link Wounds} from what is found, in its order: what is missing is found before what lies about. */
export function createTriage({
  disk,
  again,
}: Pick<RepairParts, 'again'> & { disk: Pick<Disk, 'stat'> }) {
  const places = new Map<number, string[]>()
  const missing = new Map<number, number[]>()
  const wounds: Wounds = { places, unseen: false }
  return {
    wounds,
    async note({ kind, item, path }: Finding): Promise<void> {
      if (kind === 'closed') wounds.unseen = true
      if (item !== null && (kind === 'missing' || kind === 'damaged' || kind === 'sidecar'))
        places.set(item, places.get(item) ?? [])
      if (item !== null && kind === 'missing') {
        const sizeBytes = (await again(item))?.sizeBytes
        if (sizeBytes !== undefined)
          missing.set(sizeBytes, [...(missing.get(sizeBytes) ?? []), item])
      }
      if (path === null) return
      if (kind === 'moved' && item !== null) places.get(item)?.push(path)
      if (kind !== 'foreign' || missing.size === 0) return
      // It may have been moved without its sidecar: only its bytes tell.
      const facts = await disk.stat(path)
      for (const owner of missing.get(facts?.sizeBytes ?? -1) ?? []) places.get(owner)?.push(path)
    },
  }
}

/**
 * Puts right what an inspection found: what was moved by hand goes back first, then what is missing or damaged is healed as
 * a scrub would, each under its item's lease. More than a few at once are not touched before a person has said so.
 *
 * @param task.checked how many items were looked at
 * @param task.healing false where only what was moved is to go back
 * @throws CANCELLED, DB_*, VOLUME_*, BUCKET_* and other outages
 */
export async function repair(
  parts: RepairParts,
  task: { wounds: Wounds; checked: number; healing: boolean; confirmed: boolean },
  signal: AbortSignal,
): Promise<Repaired> {
  const done: Repaired = { back: 0, healed: 0, lost: 0, removed: 0, left: 0, stopped: false }
  const wounded = [...task.wounds.places].filter(([, at]) => task.healing || at.length > 0)
  if (!(await mayGoOn(parts, { ...task, wounded: wounded.length })))
    return { ...done, left: wounded.length, stopped: true }
  let asked: ReturnType<RepairParts['owners']> | null = null
  const owners = () => {
    asked ??= parts.owners(wounded.flatMap(([, places]) => places))
    return asked
  }
  for (const [item, places] of wounded) {
    signal.throwIfAborted()
    const file = await parts.again(item)
    if (file === null) continue
    const wound = { file, places, owners, healing: task.healing, unseen: task.wounds.unseen }
    done[await repairOne(parts, wound, signal)] += 1
  }
  if (task.healing) done.removed = await removeLeftovers(parts)
  return done
}

async function mayGoOn(
  parts: RepairParts,
  { wounded, checked, confirmed }: { wounded: number; checked: number; confirmed: boolean },
): Promise<boolean> {
  if (confirmed) await parts.archives.resumeHealing()
  if (confirmed || wounded === 0) return true
  return mayHeal(parts, { damaged: wounded, read: checked, lately: 0 })
}

interface Wound {
  file: ArchivedFile
  places: readonly string[]
  owners: () => ReturnType<RepairParts['owners']>
  healing: boolean
  unseen: boolean
}

async function repairOne(
  parts: RepairParts,
  wound: Wound,
  signal: AbortSignal,
): Promise<'back' | 'healed' | 'lost' | 'left'> {
  const { file, healing } = wound
  let unseen = wound.unseen
  if (wound.places.length > 0) {
    const places = await placesOf(parts, wound)
    // What is taken for another's may be a mistake of its row.
    unseen ||= places.length < wound.places.length
    const outcome =
      places.length > 0 ? await relocate(parts, { file, places }, signal) : 'elsewhere'
    if (outcome === 'back') return 'back'
    tellWhy(parts, file, outcome)
    // Whatever may still be brought back by hand is not given up.
    if (outcome !== 'elsewhere') return 'left'
  }
  if (!healing) return 'left'
  const outcome = await healArchived({ ...parts, unseen }, file, signal)
  if (outcome === 'whole') return 'healed'
  return outcome === 'lost' ? 'lost' : 'left'
}

/** Equal bytes may be another medium's own file: what a sidecar of its own or another row names stays where it is. */
async function placesOf(
  parts: RepairParts,
  { file, places, owners }: Pick<Wound, 'file' | 'places' | 'owners'>,
): Promise<string[]> {
  const own: string[] = []
  for (const place of places) {
    const sidecar = await peekSidecar(parts, place)
    if (sidecar?.archive_path === place) continue
    const isOwn = sidecar?.media_id === file.mediaId && sidecar.archive_path === file.archivePath
    const named = isOwn ? null : (await owners()).get(place)
    if (![...(named ?? [])].some((mediaId) => mediaId !== file.mediaId)) own.push(place)
  }
  return own
}

const reasons: Record<Exclude<RelocateOutcome, 'back'>, string> = {
  elsewhere: 'none of the files that lie about has its bytes and is nobody else’s',
  busy: 'a worker has it in hand, or healing is paused',
  no_links: 'this file system has no hard links: move it back by hand (mv), with its sidecar',
}

function tellWhy(
  { log }: RepairParts,
  { item, mediaId: media, archivePath: path }: ArchivedFile,
  outcome: Exclude<RelocateOutcome, 'back'>,
): void {
  log.warn({ item, media, path }, `not brought back: ${reasons[outcome]}`)
}

async function removeLeftovers(parts: RepairParts): Promise<number> {
  const { errorDisk, now } = parts
  const adoptions = await sweepAdoptions(parts, now())
  const copies = await leftoverCopies(errorDisk, now())
  for (const path of copies) await errorDisk.unlink(path)
  return adoptions.length + copies.length
}
