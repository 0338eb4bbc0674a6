import { AppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { rejectedName, reportNameOf } from '../set-aside.ts'
import { copyDurably } from '../storage/disk.ts'
import type { Downloaded } from './download.ts'
import type { Parts } from './parts.ts'
import { type ItemReport, reportOf, summaryOf } from './report.ts'
import type { Space } from './space.ts'

/**
 * Keeps a copy of what is not valid media in ERROR_DIR with a report beside it, and records the verdict. The source and the
 * media row are not touched (unless a rejected status is configured).
 *
 * @throws LEASE_LOST, DISK_*, DB_*
 */
export async function setAside(
  parts: Pick<Parts, 'disk' | 'errorDisk' | 'items' | 'reached' | 'leases' | 'policy' | 'log'> & {
    errorSpace: Pick<Space, 'reserveCopy'>
  },
  item: Item,
  { downloaded, reason }: { downloaded: Downloaded; reason: string },
): Promise<ItemReport> {
  const { disk, errorDisk, errorSpace, items, reached, leases, policy, log } = parts
  await downloaded.part.close()
  leases.assertAlive(item)
  const name = rejectedName(item)
  const room = await errorSpace.reserveCopy(downloaded.source.sizeBytes)
  const from = { disk, path: downloaded.part.path }
  await copyDurably(from, { disk: errorDisk, path: name }, policy.fileMode).finally(room.end)
  const report = reportNameOf(name)
  const says = {
    reason,
    media_id: item.media.mediaId,
    item: item.id,
    title: item.media.title,
    filename: item.media.filename,
    declared: { content_type: item.media.contentType, mime_type: item.media.mimeType },
    file: name,
    bytes: downloaded.source.sizeBytes,
    sha256: downloaded.sha256,
    source: downloaded.source,
    rejected_at: new Date().toISOString(),
    program_version: policy.version,
  }
  try {
    await writeReport({ errorDisk, policy }, report, says)
  } catch (error) {
    // Without a report it would never go to make room.
    await errorDisk.unlink(name).catch(() => {}) // the first error is the one to tell
    throw error
  }
  await reached('set-aside', item)
  const found = summaryOf(downloaded)
  if ((await items.reject(item, { reason, report, ...found })) === 'stale')
    throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)
  log.warn({ item: item.id, media: item.media.mediaId, reason, report }, 'rejected')
  // A failure to remove it is the sweep's business.
  await disk.unlink(downloaded.part.path).catch(() => {})
  return { ...reportOf(item, 'rejected', reason), ...found }
}

async function writeReport(
  { errorDisk, policy }: Pick<Parts, 'errorDisk' | 'policy'>,
  path: string,
  report: Record<string, unknown>,
): Promise<void> {
  const file = await errorDisk.create(path)
  try {
    await file.write(Buffer.from(`${JSON.stringify(report, null, 2)}\n`))
    await file.seal(policy.fileMode)
    await errorDisk.syncFolder('')
  } finally {
    await file.close()
  }
}
