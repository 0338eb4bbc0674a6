import { AppError } from '../errors.ts'
import type { Bucket } from './bucket.ts'

/** The store failing for so many keys in a row is an outage, whatever it says of the bucket. */
export const DOUBTS_ALLOWED = 5

/**
 * A store that fails for one key while it answers otherwise must not hold up all others.
 *
 * @returns OBJECT_UNAVAILABLE, caused by the reason, where that is so; else the reason as it is
 */
export async function ofOneKey(
  bucket: Pick<Bucket, 'check'>,
  key: string,
  reason: AppError,
): Promise<AppError> {
  if (reason.code !== 'BUCKET_UNAVAILABLE') return reason
  const answers = await bucket.check().then(
    () => true,
    () => false,
  )
  if (!answers) return reason
  const message = `the store fails for "${key}" although it answers otherwise: ${reason.message}`
  return new AppError('OBJECT_UNAVAILABLE', message, { cause: reason })
}
