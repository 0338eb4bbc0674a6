import type { MediaKind } from '../media.ts'
import type { Settings, ValuesOf } from './setting.ts'
import { columnName, tableName, text } from './values.ts'

const mediaColumns = [
  'id',
  'user_id',
  'title',
  'filename',
  'content_type',
  'mime_type',
  'file_size',
  'object_key',
  'status',
  'approved_at',
  'created_at',
  'updated_at',
  'deleted_at',
  'archive_path',
  'archived_at',
  'checksum_sha256',
] as const
export type MediaColumn = (typeof mediaColumns)[number]

const writtenColumns: readonly MediaColumn[] = [
  'status',
  'archive_path',
  'archived_at',
  'checksum_sha256',
  'updated_at',
]

const auditColumns = ['media_id', 'user_id', 'action', 'details', 'created_at'] as const
export type AuditColumn = (typeof auditColumns)[number]

/** The backend's names for its own tables, columns and values. */
export interface BackendMapping {
  /** May be schema-qualified: `app.media`. */
  mediaTable: string
  auditTable: string
  mediaColumns: Record<MediaColumn, string>
  auditColumns: Record<AuditColumn, string>
  /** `rejected` is null unless configured: then a rejected row's status is left alone. */
  status: { approved: string; archived: string; rejected: string | null }
  action: { archived: string; sourceDeleted: string; rejected: string }
  /** The backend's values of content_type for each kind. */
  kinds: Record<MediaKind, string>
}

type Named<Fallback extends string> = {
  fallback: Fallback
  reader: typeof text
  help: string
  example: string
}

const named = <const F extends string>(fallback: F, help: string): Named<F> => ({
  fallback,
  reader: text,
  help,
  example: fallback,
})

interface ColumnSetting {
  fallback: string
  reader: typeof columnName
  help: string
  example: string
}

function columnSettings<Prefix extends string, Column extends string>(
  prefix: Prefix,
  columns: readonly Column[],
): Record<`${Prefix}_COLUMN_${Uppercase<Column>}`, ColumnSetting> {
  const entries = columns.map((column) => [
    `${prefix}_COLUMN_${column.toUpperCase()}`,
    {
      fallback: column,
      reader: columnName,
      help: `Name of the column ${column} in the ${prefix.toLowerCase()} table.`,
      example: column,
    },
  ])
  return Object.fromEntries(entries)
}

/** Names of the backend's tables, columns and values, for backends that call them otherwise. */
export const backendSettings = {
  MEDIA_TABLE: {
    fallback: 'media',
    reader: tableName,
    help: 'The backend’s media table; may be schema.table.',
    example: 'app.media',
  },
  AUDIT_TABLE: {
    fallback: 'audit_logs',
    reader: tableName,
    help: 'The backend’s audit table; may be schema.table.',
    example: 'app.audit_logs',
  },
  STATUS_APPROVED: named('approved', 'Status of a row that may be archived.'),
  STATUS_ARCHIVED: named('archived', 'Status that an archived row gets.'),
  STATUS_REJECTED: {
    reader: text,
    help: 'Status that a row with invalid media gets; without it the row is left as it is.',
    example: 'rejected',
  },
  ACTION_ARCHIVED: named('archived', 'Audit action when a file was archived.'),
  ACTION_SOURCE_DELETED: named('source_deleted', 'Audit action when its source was deleted.'),
  ACTION_REJECTED: named('archive_rejected', 'Audit action when a file was rejected.'),
  KIND_VIDEO: named('video', 'The backend’s content_type of videos.'),
  KIND_IMAGE: named('image', 'The backend’s content_type of pictures.'),
  KIND_AUDIO: named('audio', 'The backend’s content_type of sound.'),
  ...columnSettings('MEDIA', mediaColumns),
  ...columnSettings('AUDIT', auditColumns),
} as const satisfies Settings

/** Settings whose values must differ from one another, or two meanings would share a name. */
export const distinctNames: readonly (readonly (keyof typeof backendSettings)[])[] = [
  ['MEDIA_TABLE', 'AUDIT_TABLE'],
  ['STATUS_APPROVED', 'STATUS_ARCHIVED', 'STATUS_REJECTED'],
  ['ACTION_ARCHIVED', 'ACTION_SOURCE_DELETED', 'ACTION_REJECTED'],
  ['KIND_VIDEO', 'KIND_IMAGE', 'KIND_AUDIO'],
  // Two columns that are only read may be one; a column that is written must stand for itself.
  ...mediaColumns
    .filter((column) => !writtenColumns.includes(column))
    .map((column) => [column, ...writtenColumns].map((name) => settingOf('MEDIA', name))),
  auditColumns.map((column) => settingOf('AUDIT', column)),
]

function settingOf<Prefix extends string, Column extends string>(prefix: Prefix, column: Column) {
  return `${prefix}_COLUMN_${column.toUpperCase()}` as `${Prefix}_COLUMN_${Uppercase<Column>}`
}

export function backendMapping(values: ValuesOf<typeof backendSettings>): BackendMapping {
  const media = mediaColumns.map((column) => [column, values[settingOf('MEDIA', column)]])
  const audit = auditColumns.map((column) => [column, values[settingOf('AUDIT', column)]])
  return {
    mediaTable: values.MEDIA_TABLE,
    auditTable: values.AUDIT_TABLE,
    mediaColumns: Object.fromEntries(media) as Record<MediaColumn, string>,
    auditColumns: Object.fromEntries(audit) as Record<AuditColumn, string>,
    status: {
      approved: values.STATUS_APPROVED,
      archived: values.STATUS_ARCHIVED,
      rejected: values.STATUS_REJECTED,
    },
    action: {
      archived: values.ACTION_ARCHIVED,
      sourceDeleted: values.ACTION_SOURCE_DELETED,
      rejected: values.ACTION_REJECTED,
    },
    kinds: { video: values.KIND_VIDEO, image: values.KIND_IMAGE, audio: values.KIND_AUDIO },
  }
}
