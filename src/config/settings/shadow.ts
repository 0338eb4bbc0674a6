import type { Settings } from '../setting.ts'
import { size } from '../sizes.ts'
import * as read from '../values.ts'

export const shadowSettings = {
  SHADOW_DIR: {
    reader: read.folder,
    help: 'The test folder of MODE=shadow: what would be archived is filed here, with a record of each verdict. Empty at first, and neither ARCHIVE_DIR nor ERROR_DIR nor a part or a parent of them.',
    example: '/media/shadow',
  },
  SHADOW_KEEP: {
    fallback: '20GiB',
    reader: size(0, 'from 0 on'),
    help: 'How much of the copies stays in SHADOW_DIR; of those beyond only the SHA-256, the sidecar and the record stay, which is all that the report needs. 0 keeps no copy.',
    example: '0',
  },
} as const satisfies Settings
