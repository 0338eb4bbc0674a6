import type { BucketConfig } from './bucket.ts'
import type { SettingName, SettingValues } from './settings.ts'

/** The bucket that archived files may be moved to. */
export interface SecondConfig extends BucketConfig {
  /** What its keys begin with; '' for nothing. */
  prefix: string
  /** In what time all of it is read again; 0 for never. */
  scrubPeriodMs: number
  /** Visitors who ask for a moved file are sent there; null: they are told that there is none. */
  links: 'redirect' | null
}

/** @returns null unless all of it is set */
export function secondConfig(values: SettingValues): SecondConfig | null {
  const { SECOND_ENDPOINT: endpoint, SECOND_BUCKET: bucket } = values
  const { SECOND_ACCESS_KEY: accessKey, SECOND_SECRET_KEY: secretKey } = values
  if (endpoint === null || bucket === null || accessKey === null || secretKey === null) return null
  const { SECOND_REGION: region, SECOND_PREFIX: prefix, SECOND_LINKS: links } = values
  const { SECOND_SCRUB_PERIOD: scrubPeriodMs } = values
  const keys = { accessKey, secretKey, prefix: prefix ?? '' }
  return { endpoint: endpoint.origin, region, bucket, ...keys, scrubPeriodMs, links }
}

const all = [
  'SECOND_ENDPOINT',
  'SECOND_BUCKET',
  'SECOND_ACCESS_KEY',
  'SECOND_SECRET_KEY',
] as const satisfies readonly SettingName[]

/** @returns the first thing that is wrong with the second bucket, to be read after the setting's name; null for nothing */
export function secondFault(
  values: SettingValues,
  isGiven: (name: SettingName) => boolean,
): { setting: SettingName; wrong: string } | null {
  // One that is set and wrong is told of already, and reads as not set.
  const missing = all.find((name) => values[name] === null && !isGiven(name))
  const present = all.find(isGiven)
  if (missing !== undefined) {
    if (values.FREE_SPACE_CLEAN?.includes('archived'))
      return { setting: missing, wrong: 'is required by FREE_SPACE_CLEAN=archived' }
    if (values.SECOND_LINKS !== null)
      return { setting: missing, wrong: 'is required by SECOND_LINKS=redirect' }
    return present === undefined ? null : { setting: missing, wrong: `is required by ${present}` }
  }
  const { SECOND_ENDPOINT: endpoint, SECOND_BUCKET: bucket, R2_ENDPOINT, R2_BUCKET } = values
  if (endpoint === null || bucket === null) return null
  if (endpoint.pathname.replace(/\/+$/, '') !== '')
    return {
      setting: 'SECOND_ENDPOINT',
      wrong: 'must not have a path; SECOND_BUCKET names the bucket',
    }
  if (endpoint.origin === R2_ENDPOINT?.origin && bucket === R2_BUCKET)
    return { setting: 'SECOND_BUCKET', wrong: 'must differ from R2_BUCKET, where the sources are' }
  return null
}
