import type { Settings } from '../setting.ts'
import * as read from '../values.ts'

export const bucketSettings = {
  R2_ENDPOINT: {
    requiredFor: 'bucket',
    reader: read.endpoint,
    help: 'URL of the S3-compatible service, without the bucket.',
    example: 'https://ACCOUNT_ID.r2.cloudflarestorage.com',
  },
  R2_BUCKET: {
    aliases: ['R2_BUCKET_NAME'],
    requiredFor: 'bucket',
    reader: read.bucketName,
    help: 'Name of the bucket that holds the sources.',
    example: 'media-uploads',
  },
  R2_ACCESS_KEY: {
    aliases: ['R2_ACCESS_KEY_ID'],
    requiredFor: 'bucket',
    secret: true,
    reader: read.secretText,
    help: 'Access key id; it needs to read and delete objects of this bucket, no more.',
    example: '"$(cat r2-access-key)"',
  },
  R2_SECRET_KEY: {
    aliases: ['R2_SECRET_ACCESS_KEY'],
    requiredFor: 'bucket',
    secret: true,
    reader: read.secretText,
    help: 'Secret of that access key.',
    example: '"$(cat r2-secret-key)"',
  },
  R2_REGION: {
    fallback: 'auto',
    reader: read.text,
    help: 'Region to sign requests for; R2 takes auto.',
    example: 'us-east-1',
  },
} as const satisfies Settings
