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

interface Fault {
  setting: SettingName
  /** To be read after its name. */
  wrong: string
}

/** What is wrong with the second bucket. */
export function secondFaults(
  values: SettingValues,
  isGiven: (name: SettingName) => boolean,
): Fault[] {
  // One that is set and wrong is told of already, and reads as not set.
  const missing = all.filter((name) => values[name] === null && !isGiven(name))
  if (missing.length === 0) return placeFaults(values)
  const by = demandOf(values, isGiven)
  return by === undefined
    ? []
    : missing.map((setting) => ({ setting, wrong: `is required by ${by}` }))
}

/** What asks for a second bucket. */
function demandOf(
  values: SettingValues,
  isGiven: (name: SettingName) => boolean,
): string | undefined {
  if (values.FREE_SPACE_CLEAN?.includes('archived')) return 'FREE_SPACE_CLEAN=archived'
  if (values.SECOND_LINKS !== null) return 'SECOND_LINKS=redirect'
  return all.find(isGiven)
}

function placeFaults(values: SettingValues): Fault[] {
  const { SECOND_ENDPOINT: endpoint, SECOND_BUCKET: bucket, R2_ENDPOINT, R2_BUCKET } = values
  if (endpoint === null || bucket === null) return []
  if (endpoint.pathname.replace(/\/+$/, '') !== '')
    return [
      {
        setting: 'SECOND_ENDPOINT',
        wrong: 'must not have a path; SECOND_BUCKET names the bucket',
      },
    ]
  if (R2_ENDPOINT !== null && hostOf(endpoint) === hostOf(R2_ENDPOINT) && bucket === R2_BUCKET)
    return [
      { setting: 'SECOND_BUCKET', wrong: 'must differ from R2_BUCKET, where the sources are' },
    ]
  return []
}

/** One host has more than one spelling, and one bucket may be reached with TLS and without. */
function hostOf({ hostname, port }: URL): string {
  return `${hostname.replace(/\.$/, '').replace(/^localhost$/, '127.0.0.1')}:${port}`
}
