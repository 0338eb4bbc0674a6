import type { LifecycleRule } from '@aws-sdk/client-s3'
import type { BucketConfig } from '../config.ts'
import { type Abort, askSdk } from './s3-ask.ts'
import { isRefusal } from './s3-errors.ts'
import { askedFor, closeLink, type Link, openLink } from './s3-link.ts'
import type { Sdk } from './s3-sdk.ts'

/** What a store tells, or why it does not: the key has no right to ask, or the store does not know the question. */
export type Told<T> = { told: T } | { untold: 'denied' | 'unknown' }

/** A rule by which the store itself deletes objects. */
export interface Expiry {
  id: string
  /** Of the keys that it is for; empty for all. */
  prefix: string
  /** After how many days it deletes an object, or from which day on all. */
  after: { days: number } | { date: Date }
  /** It asks for more than the prefix (tags, sizes), so that it may spare some. */
  conditional: boolean
}

/** What a bucket does, or forbids, by itself. */
export interface BucketRules {
  lifecycle: Told<{
    expiries: Expiry[]
    /** Versions that were replaced or hidden by a DELETE are removed some day. */
    removesOldVersions: boolean
  }>
  /** For how long no new object can be deleted, by default; null for not at all. */
  lock: Told<{ days: number } | null>
  versioning: Told<boolean>
}

/** Asks the bucket for its rules. @throws BUCKET_UNAVAILABLE, BUCKET_MISSING and the like where it does not answer at all */
export async function readBucketRules(config: BucketConfig): Promise<BucketRules> {
  const link = openLink(config, {})
  try {
    return {
      lifecycle: await lifecycleOf(link),
      lock: await lockOf(link),
      versioning: await versioningOf(link),
    }
  } finally {
    closeLink(link)
  }
}

async function lifecycleOf(link: Link): Promise<BucketRules['lifecycle']> {
  const of = { Bucket: link.bucket }
  const answer = await tell(link, 'NoSuchLifecycleConfiguration', ({ client, commands }, abort) =>
    client.send(new commands.GetBucketLifecycleConfigurationCommand(of), abort),
  )
  if ('untold' in answer) return answer
  const rules = (answer.told?.Rules ?? []).filter(({ Status }) => Status === 'Enabled')
  const removesOldVersions = rules.some(
    ({ NoncurrentVersionExpiration: old }) => old?.NoncurrentDays !== undefined,
  )
  return { told: { expiries: rules.flatMap(expiryOf), removesOldVersions } }
}

function expiryOf({ ID, Prefix, Filter, Expiration }: LifecycleRule): Expiry[] {
  const prefix = Filter?.And?.Prefix ?? Filter?.Prefix ?? Prefix ?? ''
  const { Tag, ObjectSizeGreaterThan, ObjectSizeLessThan, And } = Filter ?? {}
  const more = [Tag, ObjectSizeGreaterThan, ObjectSizeLessThan, And].some(
    (one) => one !== undefined,
  )
  const rule = { id: ID ?? 'without a name', prefix, conditional: more }
  if (Expiration?.Days !== undefined) return [{ ...rule, after: { days: Expiration.Days } }]
  if (Expiration?.Date !== undefined) return [{ ...rule, after: { date: Expiration.Date } }]
  return []
}

function lockOf(link: Link): Promise<BucketRules['lock']> {
  const none = 'ObjectLockConfigurationNotFoundError'
  return tell(link, none, async ({ client, commands }, abort) => {
    const command = new commands.GetObjectLockConfigurationCommand({ Bucket: link.bucket })
    const { ObjectLockConfiguration: lock } = await client.send(command, abort)
    const kept = lock?.Rule?.DefaultRetention
    const days = (kept?.Days ?? 0) + 365 * (kept?.Years ?? 0)
    return days === 0 ? null : { days }
  })
}

async function versioningOf(link: Link): Promise<BucketRules['versioning']> {
  const told = await tell(link, null, async ({ client, commands }, abort) => {
    const command = new commands.GetBucketVersioningCommand({ Bucket: link.bucket })
    const { Status } = await client.send(command, abort)
    return Status === 'Enabled'
  })
  return 'told' in told ? { told: told.told === true } : told
}

/** @param none the store's word for having no such configuration; then null is told */
function tell<T>(
  link: Link,
  none: string | null,
  send: (sdk: Sdk, abort: Abort) => Promise<T>,
): Promise<Told<T | null>> {
  return askSdk(link, askedFor(link), async (sdk, abort) => {
    try {
      return { told: await send(sdk, abort) }
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (error.name === none) return { told: null }
      const status = error.$metadata.httpStatusCode ?? 0
      if (status === 401 || status === 403) return { untold: 'denied' }
      // 501 is the protocol's word for it; stores say 400, 404 or 405 as well.
      if ([400, 404, 405, 501].includes(status)) return { untold: 'unknown' }
      throw error
    }
  })
}
