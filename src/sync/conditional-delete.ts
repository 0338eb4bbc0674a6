import { isAppError, toAppError } from '../errors.ts'
import type { Bucket } from '../storage/bucket.ts'
import { pause } from '../waiting.ts'
import type { ReleaseParts } from './parts.ts'

/** R2 takes one write per second for a key. */
const THROTTLED_PAUSE_MS = 1_100

/**
 * Does this bucket refuse a DELETE whose If-Match is wrong? Tried once with an object of a random name, which is deleted
 * again, and remembered. A store that refuses the question honours none; a key that may not write, or a lock rule that
 * protects what was just written, lets nobody find out, and then no condition is relied on either.
 *
 * @throws BUCKET_* outages: nothing is remembered then
 */
export async function honoursConditionalDelete(
  parts: Pick<ReleaseParts, 'bucket' | 'archives' | 'log'>,
  signal: AbortSignal,
): Promise<boolean> {
  const { bucket, archives, log } = parts
  const known = await archives.conditionalDelete(bucket.id)
  if (known !== null) return known
  const key = `.strongroom-probe-${crypto.randomUUID()}`
  let honoured = false
  let written = true
  try {
    const text = Buffer.from('strongroom asks whether DELETE honours If-Match\n')
    await bucket.put(key, text, signal).catch((error: unknown) => {
      written = !isAppError(error, 'OBJECT_DENIED', 'BUCKET_DENIED')
      throw error
    })
    const condition = { ifMatch: '0'.repeat(32), signal }
    honoured = (await persistentDelete(bucket, key, condition)) === 'changed'
  } catch (error) {
    if (!isAppError(error, 'OBJECT_DENIED', 'BUCKET_DENIED', 'OBJECT_LOCKED')) throw error
    log.info({ error }, 'the bucket lets nobody ask; sources are deleted by HEAD and DELETE')
  } finally {
    if (written) await removeProbe(parts, key)
  }
  await archives.rememberConditionalDelete(bucket.id, honoured)
  return honoured
}

/** Also after a stop signal. Never throws. */
async function removeProbe(
  { bucket, log }: Pick<ReleaseParts, 'bucket' | 'log'>,
  key: string,
): Promise<void> {
  await persistentDelete(bucket, key, {}).catch((error: unknown) => {
    log.warn({ key, error: toAppError(error) }, 'a probe object was left in the bucket; delete it')
  })
}

async function persistentDelete(
  bucket: Bucket,
  key: string,
  options: { ifMatch?: string; signal?: AbortSignal },
): ReturnType<Bucket['delete']> {
  try {
    return await bucket.delete(key, options)
  } catch (error) {
    if (!isAppError(error, 'BUCKET_THROTTLED')) throw error
    await pause(THROTTLED_PAUSE_MS, options.signal ?? new AbortController().signal)
    return bucket.delete(key, options)
  }
}
