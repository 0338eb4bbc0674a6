import { AppError } from '../errors.ts'
import type { AdoptedMedia } from '../media.ts'

/** All texts of a row together; the sidecar repeats them and may be no larger than a mebibyte. */
const TEXTS_MAX_BYTES = 128 * 1024
/** Sidecars and paths write years with four digits. */
const LATEST_APPROVAL = Date.UTC(10_000, 0)

/**
 * Refuses a media row from which no sidecar could be written that can be read again: its file would be archived but never
 * served.
 *
 * @throws ROW_INVALID, naming the column
 */
export function assertUsable(media: AdoptedMedia): void {
  const { mediaId, approvedAt, title, filename, mimeType, objectKey } = media
  if (!Number.isSafeInteger(mediaId) || mediaId < 1)
    throw invalid(`its id must be a whole number from 1 to ${Number.MAX_SAFE_INTEGER}`)
  const approvedMs = approvedAt?.getTime() ?? 0
  if (!(approvedMs >= 0 && approvedMs < LATEST_APPROVAL))
    throw invalid('its time of approval must lie between 1970 and 9999')
  const texts = [title, filename, mimeType, objectKey].map((text) => Buffer.byteLength(text ?? ''))
  if (texts.reduce((sum, bytes) => sum + bytes) > TEXTS_MAX_BYTES)
    throw invalid(`its title, filename, MIME type and key have more than ${TEXTS_MAX_BYTES} bytes`)
}

function invalid(what: string): AppError {
  return new AppError('ROW_INVALID', `the media row cannot be archived: ${what}`)
}
