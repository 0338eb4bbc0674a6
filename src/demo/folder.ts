import { access, constants, readdir, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { diskError } from '../storage/disk-errors.ts'
import { makeFolders } from '../storage/make-folders.ts'

/** The folder of a demo, held by this process alone. */
export interface DemoFolder {
  close(): Promise<void>
}

/**
 * Makes the demo's folder and holds it, so that no second demo opens the same embedded database.
 *
 * @throws DISK_* when this user cannot work there, CONFIG_INVALID when another demo does
 */
export async function openDemoFolder(dir: string): Promise<DemoFolder> {
  for (const folder of ['archive', 'errors']) await tried(dir, () => makeFolders(join(dir, folder)))
  const held = await hold(dir)
  // A demo that another user ran left parts that this one could not even read.
  for (const name of ['.', ...(await readdir(dir))])
    await tried(join(dir, name), (path) => access(path, constants.R_OK | constants.W_OK)).catch(
      async (error: unknown) => {
        await held.close()
        throw error
      },
    )
  return held
}

async function tried(path: string, use: (path: string) => Promise<unknown>): Promise<void> {
  try {
    await use(path)
  } catch (cause) {
    const { code, message } = diskError(cause, 'write', path)
    throw new AppError(code, message, {
      cause,
      hint: 'choose a folder of your own: strongroom demo --dir FOLDER',
    })
  }
}

/** An abstract socket goes with its process, however that ends: there is no lock file to go stale. */
async function hold(dir: string): Promise<DemoFolder> {
  const { dev, ino } = await stat(dir)
  const server = createServer((socket) => void socket.destroy()).unref()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(`\0strongroom-demo-${dev}-${ino}`, resolve)
    })
  } catch (cause) {
    if (systemCode(cause) !== 'EADDRINUSE') throw cause
    throw new AppError('CONFIG_INVALID', `another demo runs in ${dir}`, {
      cause,
      hint: 'end that one (Ctrl-C where it runs), or choose another folder with --dir FOLDER',
    })
  }
  return {
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  }
}
