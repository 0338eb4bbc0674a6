import type { RowNow } from '../db/shadow.ts'
import type { ProbeFacts } from '../media.ts'
import type { ShadowRecord } from './records.ts'

/** What the other service has at the place where it archived a medium. */
export interface OldFile {
  /** Relative to ARCHIVE_DIR. */
  path: string
  sizeBytes: number
  /** Hex. */
  sha256: string
  /** What a sidecar of the other service says, whatever its names are; null where there is none. */
  sidecar: Readonly<Record<string, unknown>> | null
}

/** What is to be made of a file whose source Strongroom had not read when it was archived. */
export interface OldVerdict {
  /** Null where ffprobe could not tell. */
  valid: boolean | null
  /** Why it is not valid, or why that cannot be told. */
  reason: string | null
  facts: ProbeFacts | null
  /** Where Strongroom would have filed these bytes. */
  archivePath: string
}

/** All that is known of one medium: what Strongroom would have done, and what the other service did. */
export interface Evidence {
  mediaId: number
  /** Of the row's version as it is now. */
  record: ShadowRecord | null
  /** Where the layout of now puts what the record says would be archived. */
  wouldPath: string | null
  /** Another version was looked at, and none of this one. */
  superseded: boolean
  row: RowNow | null
  /** How often each action was written since the shadow began. */
  audits: ReadonlyMap<string, number>
  file: OldFile | null
  /** Why there is none although the row names a path. */
  fileFault: string | null
  /** Only where there is no record of the bytes. */
  oldVerdict: OldVerdict | null
  /** Where the other service keeps a copy of what it rejected. */
  rejectedCopy: string | null
  /** The object under the row's key now. */
  source: { etag: string; lastModified: Date } | null
  /** A medium that was approved later and is archived already. */
  overtakenBy: number | null
}

export const differenceKinds = [
  'missed',
  'unread',
  'extra',
  'bytes',
  'truncated',
  'file-missing',
  'path',
  'verdict',
  'status',
  'row-fact',
  'audit-missing',
  'audit-doubled',
  'source-kept',
  'source-early',
  'sidecar',
] as const
export type DifferenceKind = (typeof differenceKinds)[number]

export interface Difference {
  kind: DifferenceKind
  /** What and why, for people. */
  text: string
}

/** For people, and for machines that go by the kind. */
export const kindTitles: Readonly<Record<DifferenceKind, string>> = {
  missed: 'missed',
  unread: 'not read',
  extra: 'extra',
  bytes: 'other bytes',
  truncated: 'truncated copy',
  'file-missing': 'no file',
  path: 'other path',
  verdict: 'other verdict',
  status: 'status not updated',
  'row-fact': 'wrong fact in the row',
  'audit-missing': 'audit row missing',
  'audit-doubled': 'audit row doubled',
  'source-kept': 'source not deleted',
  'source-early': 'source deleted too early',
  sidecar: 'wrong fact in the sidecar',
}
