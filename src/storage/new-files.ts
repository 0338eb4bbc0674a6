import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { orWhenMissing } from './disk.ts'
import { attempt } from './file-io.ts'
import { walkTree } from './tree.ts'

/** A regular file that was written, moved or changed since some moment. */
export interface NewlyThere {
  /** Relative to the root that was walked. */
  path: string
  sizeBytes: number
}

/**
 * Finds what has come into a tree since `since`: by the time of change, which no copying program sets back as some do the
 * time of writing. Hidden files and folders are left out.
 *
 * @param skip folders, relative to `root`, that are left out
 * @throws DISK_SICK, CANCELLED
 */
export async function* newFilesIn(
  root: string,
  { since, skip = [], signal }: { since: Date; skip?: readonly string[]; signal: AbortSignal },
): AsyncGenerator<NewlyThere> {
  for await (const folder of walkTree(root, { start: '', skip, signal })) {
    if (/(?:^|\/)\./.test(folder.path)) continue
    for (const name of folder.files) {
      if (name.startsWith('.')) continue
      const path = folder.path === '' ? name : `${folder.path}/${name}`
      const absolute = join(root, path)
      const facts = await orWhenMissing(null, () =>
        attempt('look at', absolute, () => lstat(absolute)),
      )
      if (facts !== null && facts.ctime >= since) yield { path, sizeBytes: facts.size }
    }
  }
}
