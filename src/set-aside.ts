import { safeName } from './archive-path.ts'
import type { Item } from './media.ts'

/** Where files lie that are set aside; FREE_SPACE_CLEAN names those that may be removed. */
const areas = ['errors', 'withdrawn', 'quarantine'] as const
export type Area = (typeof areas)[number]

/** What may be removed to make room; what is archived only once a second bucket has it. */
export const cleanable = [...areas, 'archived'] as const
export type Cleanable = (typeof cleanable)[number]

/** What the name of a copy in ERROR_DIR says. */
export interface RejectedCopy {
  mediaId: number
  item: number
  epoch: number
}

const reportEnding = '.report.json'

/** Names the copy of what was rejected; the epoch keeps two attempts of one item apart. */
export function rejectedName({ id, epoch, media }: Pick<Item, 'id' | 'epoch' | 'media'>): string {
  const filename = media.filename ?? media.objectKey
  return safeName(`${media.mediaId}-${id}.${epoch}-${filename}`)
}

export function reportNameOf(copyName: string): string {
  return `${copyName}${reportEnding}`
}

/** @returns null for a name that is not as {@link rejectedName} makes them, nor that of a report */
export function readRejectedName(name: string): RejectedCopy | null {
  const [, mediaId, item, epoch] = /^(\d{1,16})-(\d{1,15})\.(\d{1,9})-./.exec(name) ?? []
  if (mediaId === undefined) return null
  return { mediaId: Number(mediaId), item: Number(item), epoch: Number(epoch) }
}

/**
 * The folder of what is set aside for an item, or the n-th of them: after a loss of the database others had its number.
 *
 * @param first `<item>` in withdrawn, `<item>.<epoch>` in quarantine
 */
export function asideFolder(first: string, n: number): string {
  return n === 1 ? first : `${first}~${n}`
}

/** @returns the item's number; null for a name that is not as {@link asideFolder} makes them */
export function readAsideFolder(area: 'withdrawn' | 'quarantine', name: string): number | null {
  const [, item, epoch] = /^(\d{1,15})(\.\d{1,9})?(?:~\d{1,9})?$/.exec(name) ?? []
  if (item === undefined || (epoch === undefined) !== (area === 'withdrawn')) return null
  return Number(item)
}

/** The copy that a name stands for: its own, or the one that it is the report of. */
export function copyNameOf(name: string): string {
  return name.endsWith(reportEnding) ? name.slice(0, -reportEnding.length) : name
}

/** True for what the report beside a copy says. A sidecar may bear a report’s name, but names no `file`. */
export function isReportOf(copyName: string, text: string): boolean {
  try {
    const report: unknown = JSON.parse(text)
    return (report as { file?: unknown } | null)?.file === copyName
  } catch {
    return false // torn, or somebody else's
  }
}
