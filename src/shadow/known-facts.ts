import type { Evidence, OldFile } from './evidence.ts'
import type { KnownFacts } from './old-sidecar.ts'
import type { ShadowRecord } from './records.ts'

/**
 * All that is known of one medium and of the other service's file of it, for comparison with what its sidecar says.
 *
 * @param kinds the backend's own words for each kind
 */
export function factsOf(
  { mediaId, record, row, oldVerdict }: Evidence,
  file: OldFile,
  kinds: Readonly<Partial<Record<string, string>>>,
): KnownFacts {
  const declared = row?.media.contentType ?? null
  const told = record?.sidecar ?? null
  const probe = told?.probe ?? null
  const judged = oldVerdict?.facts ?? null
  const pictures = (probe ?? judged)?.streams.filter(({ type }) => type === 'video') ?? []
  const numbers = (values: (number | null)[]) => values.filter((one) => one !== null)
  return {
    mediaId,
    userId: [told?.user_id ?? null, row?.media.userId ?? null],
    title: [told?.title ?? null, row?.media.title ?? null],
    filename: namesOf(told, row?.media ?? null, file),
    kind: [
      told?.content_type ?? null,
      judged?.kind ?? null,
      declared,
      declared && (kinds[declared] ?? null),
    ],
    mimeType: [told?.mime_type ?? null, judged?.mimeType ?? null, row?.media.mimeType ?? null],
    bytes: [file.sizeBytes, ...numbers([told?.bytes ?? null])],
    sha256: [file.sha256, ...(told === null ? [] : [told.sha256])],
    etag: record?.source ? [record.source.etag] : [],
    key: row?.media.objectKey ?? null,
    path: file.path,
    durationSeconds: probe?.duration_seconds ?? judged?.durationSeconds ?? null,
    widths: numbers(pictures.map(({ width }) => width)),
    heights: numbers(pictures.map(({ height }) => height)),
    approvedAt: row?.media.approvedAt ?? null,
  }
}

/** Services write the uploader's name, or that of the file as they put it down. */
function namesOf(
  told: ShadowRecord['sidecar'],
  media: { filename: string | null; objectKey: string | null } | null,
  file: OldFile,
): (string | null)[] {
  const last = (path: string) => path.slice(path.lastIndexOf('/') + 1)
  return [
    told?.filename ?? null,
    media?.filename ?? null,
    last(media?.objectKey ?? ''),
    last(file.path),
  ]
}
