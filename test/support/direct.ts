import { closeSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openDirect } from '../../src/storage/direct.ts'

/** Some file systems know no other way than through the page cache. */
export async function knowsDirect(folder: string): Promise<boolean> {
  const path = join(folder, '.try-direct')
  const file = await open(path, 'w+')
  const direct = await openDirect(file.fd, 'both')
  await file.close()
  await rm(path)
  if (direct !== null) closeSync(direct)
  return direct !== null
}
