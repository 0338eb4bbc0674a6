import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.ts'
import { segmentsOf } from './disk-path.ts'
import { factsOf } from './file-io.ts'

/**
 * @param root `real` is `base` without links, as it was when it was opened
 * @returns the absolute path, once every folder on the way has been seen to be a folder and no link
 */
export async function confine(root: { base: string; real: string }, path: string): Promise<string> {
  const segments = segmentsOf(path)
  const folders = segments.slice(0, -1)
  if (folders.length > 0 && !(await isPlain(root, folders.join('/'))))
    await refuseLinks(root.base, folders)
  // The slash makes the system follow a root that is itself a link.
  return segments.length === 0 ? `${root.base}/` : join(root.base, ...segments)
}

/**
 * One call instead of one for each level: what is its own real path has no link on its way. False is no verdict: it may be
 * missing, or the root be a link that leads elsewhere now.
 */
async function isPlain(root: { base: string; real: string }, folder: string): Promise<boolean> {
  try {
    // The dot is found in a folder only.
    return (await realpath(`${root.base}/${folder}/.`)) === `${root.real}/${folder}`
  } catch {
    return false // Looked at level by level, it tells why.
  }
}

async function refuseLinks(base: string, folders: readonly string[]): Promise<void> {
  let folder = base
  for (const name of folders) {
    folder = join(folder, name)
    const facts = await factsOf(folder)
    if (facts.kind !== 'folder') {
      throw new AppError('PATH_UNSAFE', `${folder} is a file or a symbolic link, not a folder`, {
        hint: 'symbolic links are never followed below the root; mount the folder there instead',
      })
    }
  }
}
