import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

const BLOCK_BYTES = 1 << 20

/**
 * Makes the machine's next `bytes` of file cache as cheap as on a machine that owns its memory. A virtual one may give what
 * is free back to its host after two seconds (free page reporting); the first touch afterwards costs up to ten times the
 * copying, 2 s per GiB, and which program pays for it is chance.
 */
export async function warmMemory(folder: string, bytes: number): Promise<void> {
  const path = join(folder, 'warm-memory')
  const block = Buffer.alloc(BLOCK_BYTES, 1)
  const file = await open(path, 'wx')
  try {
    for (let written = 0; written < bytes; written += block.byteLength) await file.write(block)
  } finally {
    await file.close()
    await rm(path)
  }
}
