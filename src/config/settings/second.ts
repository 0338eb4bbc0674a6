import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { tenYears } from './durations.ts'

export const secondSettings = {
  SECOND_ENDPOINT: {
    reader: read.endpoint,
    help: 'URL of the S3-compatible service of a second bucket, without the bucket. With FREE_SPACE_CLEAN=archived files of the archive may be moved there to make room; it must not be the bucket of the sources.',
    example: 'https://s3.eu-central-003.backblazeb2.com',
  },
  SECOND_BUCKET: {
    reader: read.bucketName,
    help: 'Name of the second bucket.',
    example: 'media-archive',
  },
  SECOND_ACCESS_KEY: {
    secret: true,
    reader: read.secretText,
    help: 'Access key id for the second bucket; it needs to read and write its objects, and never deletes one. Where it may also list and abort multipart uploads, what a cut-off upload left is removed.',
    example: '"$(cat second-access-key)"',
  },
  SECOND_SECRET_KEY: {
    secret: true,
    reader: read.secretText,
    help: 'Secret of that access key.',
    example: '"$(cat second-secret-key)"',
  },
  SECOND_REGION: {
    fallback: 'auto',
    reader: read.text,
    help: 'Region to sign requests to the second bucket for; R2 takes auto.',
    example: 'us-east-1',
  },
  SECOND_PREFIX: {
    reader: read.keyPrefix,
    help: 'What the keys in the second bucket begin with; the path in the archive follows.',
    example: 'archive/',
  },
  SECOND_SCRUB_PERIOD: {
    fallback: '0',
    reader: read.duration(tenYears),
    help: 'In what time "start" reads every file that was moved to the second bucket whole again, no faster than SCRUB_RATE; mind what downloads from it cost. 0 for never: then it only asks once a week whether each is there, with its size, its ETag and a good sidecar.',
    example: '4320h',
  },
  SECOND_LINKS: {
    reader: read.oneOf('redirect'),
    help: 'redirect sends who asks for a moved file, after all checks of the token, to an address of the second bucket that is valid for at most a minute (it shows SECOND_ACCESS_KEY, and nothing of the secret); not set means 404 until the file is brought back. The file server needs the other SECOND_ settings for it, and no database.',
    example: 'redirect',
  },
} as const satisfies Settings
