import { isAppError } from '../errors.ts'
import type { ReleaseParts } from './parts.ts'

/**
 * Does this bucket refuse a DELETE whose If-Match is wrong? Tried once with an object of a random name and remembered.
 * A key that may not write gets no probe and no condition.
 */
export async function honoursConditionalDelete(
  { bucket, archives, log }: Pick<ReleaseParts, 'bucket' | 'archives' | 'log'>,
  signal: AbortSignal,
): Promise<boolean> {
  const known = await archives.conditionalDelete(bucket.id)
  if (known !== null) return known
  const key = `.strongroom-probe-${crypto.randomUUID()}`
  let honoured = false
  try {
    await bucket.put(key, Buffer.from('strongroom asks whether DELETE honours If-Match\n'), signal)
    honoured = (await bucket.delete(key, { ifMatch: '0'.repeat(32), signal })) === 'changed'
    if (honoured) await bucket.delete(key, { signal })
  } catch (error) {
    if (!isAppError(error, 'OBJECT_DENIED', 'BUCKET_DENIED')) throw error
    log.info({}, 'the bucket key may not write; sources are deleted by HEAD and DELETE')
  }
  await archives.rememberConditionalDelete(bucket.id, honoured)
  return honoured
}
