import { AppError, isAppError } from '../errors.ts'
import type { Intent, Item, MediaRow } from '../media.ts'
import {
  buildSidecar,
  parseSidecar,
  renderSidecar,
  SIDECAR_MAX_BYTES,
  type Sidecar,
  sidecarPathOf,
} from '../sidecar.ts'
import type { NewFile } from '../storage/new-file.ts'
import type { Parts } from './parts.ts'
import { TEMPORARY_FOLDER } from './volume.ts'

/** Reads the sidecar beside an archived path. @returns null when there is none, or it is torn or not one of ours */
export async function readSidecar(
  { disk }: Pick<Parts, 'disk'>,
  archivePath: string,
): Promise<Sidecar | null> {
  const text = await disk.read(sidecarPathOf(archivePath), SIDECAR_MAX_BYTES)
  if (text === null) return null
  try {
    return parseSidecar(text.toString('utf8'))
  } catch (error) {
    if (isAppError(error)) return null
    throw error
  }
}

/** The same beside a file that lies about: what is no readable file there, as a link, is no sidecar of ours either. */
export async function peekSidecar(
  parts: Pick<Parts, 'disk'>,
  path: string,
): Promise<Sidecar | null> {
  try {
    return await readSidecar(parts, path)
  } catch (error) {
    if (isAppError(error, 'PATH_UNSAFE', 'DISK_DENIED', 'DISK_SICK')) return null
    throw error
  }
}

/** True when the sidecar says what the intent says. */
export function describesIntent(
  sidecar: Sidecar | null,
  { media, intent }: { media: MediaRow; intent: Intent },
): boolean {
  return (
    sidecar !== null &&
    sidecar.media_id === media.mediaId &&
    sidecar.archive_path === intent.archivePath &&
    sidecar.sha256 === intent.sha256 &&
    sidecar.bytes === intent.source.sizeBytes &&
    sidecar.source?.etag === intent.source.etag &&
    sidecar.source?.key === intent.source.key
  )
}

/** Writes the sidecar's temporary, durable. @returns its path */
export async function writeSidecar(
  { disk, policy }: Pick<Parts, 'disk' | 'policy'>,
  item: Pick<Item, 'id' | 'epoch'> & { media: MediaRow },
  intent: Intent,
): Promise<string> {
  const path = `${TEMPORARY_FOLDER}/${item.id}.${item.epoch}.json`
  await disk.unlink(path)
  const sidecar = buildSidecar({ media: item.media, intent, version: policy.version })
  await writeSidecarAt({ disk, policy }, path, sidecar)
  return path
}

/** Writes a sidecar as a new file, durable; after a failure there is none. */
export async function writeSidecarAt(
  {
    disk,
    policy,
  }: { disk: Pick<Parts['disk'], 'create' | 'unlink'> } & {
    policy: Pick<Parts['policy'], 'fileMode'>
  },
  path: string,
  sidecar: Sidecar,
): Promise<void> {
  const text = renderSidecar(sidecar)
  // A sidecar that no reader takes would make its file unservable for ever, and its source would be released.
  if (Buffer.byteLength(text) > SIDECAR_MAX_BYTES)
    throw new AppError('SIDECAR_INVALID', 'the sidecar would be too large to be read again')
  parseSidecar(text)
  let file: NewFile | null = null
  try {
    file = await disk.create(path)
    await file.write(Buffer.from(text))
    await file.seal(policy.fileMode)
  } catch (error) {
    await file?.close()
    await disk.unlink(path)
    throw error
  }
}
