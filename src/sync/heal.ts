import { dirname } from 'node:path'
import { AppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import { quarantine } from './aside.ts'
import { fetchVersion } from './download.ts'
import type { ReleaseParts } from './parts.ts'
import { putFinal } from './publish.ts'
import type { ReleaseOutcome } from './report.ts'
import { writeSidecar } from './sidecar-file.ts'
import { discardPart } from './temporaries.ts'

/**
 * The archived copy is damaged, unreadable or gone. If the bucket still has the archived version, it is fetched again and
 * put in its place, and what was there goes to quarantine; otherwise the item is `lost`, loudly, unless the disk only
 * fails to read it. The source is never deleted here.
 */
export async function heal(
  parts: ReleaseParts,
  {
    item,
    intent,
    damage,
    retryMs,
  }: { item: Item; intent: Intent; damage: AppError; retryMs: number },
  signal: AbortSignal,
): Promise<ReleaseOutcome> {
  const { items, bucket, disk, log, volume } = parts
  log.error(
    { item: item.id, path: intent.archivePath, error: damage },
    'an archived file is damaged',
  )
  const facts = await bucket.head(intent.source.key, signal)
  if (facts === null || facts.etag !== intent.source.etag) {
    // What cannot be read today may be read once the disk is well; only what was read and is wrong is known to be lost.
    if (damage.code === 'DISK_SICK') {
      const mine = await items.keepSource(item, {
        state: 'archived',
        error: damage,
        delayMs: retryMs,
      })
      return mine ? 'kept' : 'stale'
    }
    const error = new AppError(
      'FILE_MISSING',
      `${damage.message}, and the bucket no longer has the version`,
      {
        hint: 'restore the file from a backup of the archive',
      },
    )
    const mine = await items.keepSource(item, { state: 'lost', error, delayMs: 0 })
    log.error({ item: item.id, error }, 'an archived file is lost')
    return mine ? 'lost' : 'stale'
  }
  const { part, sha256 } = await fetchVersion(parts, item, { facts, signal })
  try {
    if (sha256 !== intent.sha256)
      throw new AppError(
        'TRANSFER_CORRUPT',
        `"${intent.source.key}" came back with other bytes than archived`,
      )
    await part.seal(parts.policy.fileMode)
    await volume.verify()
    await replace(parts, { item, intent, temporary: part.path })
    await items.keepSource(item, { state: 'archived', error: damage, delayMs: retryMs })
    log.warn({ item: item.id, path: intent.archivePath }, 'the archived file was fetched again')
    return 'healed'
  } finally {
    await discardPart({ disk }, part)
  }
}

async function replace(
  parts: ReleaseParts,
  { item, intent, temporary }: { item: Item; intent: Intent; temporary: string },
): Promise<void> {
  const { disk, folders, leases } = parts
  const path = intent.archivePath
  await quarantine(parts, item, [path, sidecarPathOf(path)])
  await folders.ensure(dirname(path))
  const sidecar = await writeSidecar(parts, item, intent)
  try {
    leases.assertAlive(item)
    await putFinal(parts, sidecar, sidecarPathOf(path))
    await putFinal(parts, temporary, path)
    await disk.syncFolder(dirname(path))
  } finally {
    await disk.unlink(sidecar)
  }
}
