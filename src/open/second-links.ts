import type { Config } from '../config.ts'
import type { AddressOf } from '../serve/redirect.ts'
import { presign } from '../storage/s3-presign.ts'
import { secondKeyOf } from '../sync/second-copy.ts'

/** Where visitors are sent for files that were moved; null where they are told that there is none. Nothing is sent for it. */
export function openSecondLinks({ second }: Config): AddressOf | null {
  if (second?.links !== 'redirect') return null
  return (archivePath, { contentType, disposition, ...wanted }) =>
    presign(second, {
      ...wanted,
      key: secondKeyOf(second.prefix, archivePath),
      overrides: {
        'response-content-type': contentType,
        'response-content-disposition': disposition,
        'response-cache-control': 'private, no-store',
      },
    })
}
