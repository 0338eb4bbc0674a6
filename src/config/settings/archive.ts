import { defaultLayout } from '../../archive-path.ts'
import type { Settings } from '../setting.ts'
import * as read from '../values.ts'

export const archiveSettings = {
  ARCHIVE_DIR: {
    fallback: '/media/archive',
    reader: read.folder,
    help: 'The archive; its temporary files live on the same file system, in .strongroom inside it.',
    example: '/media/archive',
  },
  ERROR_DIR: {
    fallback: '/media/errors',
    reader: read.folder,
    help: 'Where copies of rejected media and their reports go: a folder of its own, which may be on another file system.',
    example: '/media/errors',
  },
  REQUIRE_MOUNT: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True refuses an ARCHIVE_DIR or ERROR_DIR that is on no mounted volume but on the root file system; in the image it is true, because that file system goes with the container.',
    example: 'true',
  },
  ARCHIVE_LAYOUT: {
    fallback: defaultLayout,
    reader: read.layout,
    help: 'Where a file is filed. Tokens: media_id, user_id, content_type, year, month, day (of approval, UTC), filename, stem, ext, sha256, sha256_2.',
    example: "'{content_type}/{year}/{media_id}/{filename}'",
  },
  UMASK: {
    fallback: '022',
    reader: read.umask,
    help: 'Octal mask for the modes of archived files and folders.',
    example: '027',
  },
  DIRECT_IO: {
    fallback: 'true',
    reader: read.yesNo,
    help: 'Files of 64 MiB and more go to the disk and come from it past the page cache, where the file system knows O_DIRECT. False for a disk that is slower that way, an array with parity for example; what is read again soon after it was written then comes from memory.',
    example: 'false',
  },
  INCOMING_DIR: {
    reader: read.text,
    help: 'Accepted for older set-ups and ignored: temporary files live inside ARCHIVE_DIR.',
    example: '/media/incoming',
  },
} as const satisfies Settings
