import { constants } from 'node:fs'
import { access, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemCode } from '../errors.ts'

/**
 * True when `path` lies on the root file system, whether it exists or not: in a container what is written there goes
 * with the container. Devices do not tell, because a volume may lie on the very disk that holds the containers.
 */
export async function isOnRoot(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8')
  return mountPointOf(await realPathOf(path), mounts) === '/'
}

/** @param mounts as /proc/self/mountinfo has them; @returns the deepest mount point that holds the absolute `path` */
export function mountPointOf(path: string, mounts: string): string {
  const points = mounts.split('\n').map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
  const holding = points.filter((point) => point !== '' && isWithin(path, point))
  return holding.reduce((deepest, point) => (point.length > deepest.length ? point : deepest), '/')
}

/** @returns what is wrong and the command that mends it; null when this process may write there */
export async function whyNotWritable(
  folder: string,
): Promise<{ wrong: string; remedy: string } | null> {
  for (const part of [folder, join(folder, '.strongroom')]) {
    try {
      await access(part, constants.R_OK | constants.W_OK | constants.X_OK)
    } catch (error) {
      // What is absent, read-only or failing is told by the first real use.
      if (systemCode(error) !== 'EACCES') continue
      const { uid, gid } = await stat(part)
      const me = await thisUser()
      return {
        wrong: `belongs to ${uid}:${gid}, and ${me} may not write there`,
        remedy: `chown -R ${me} ${quoted(folder)}`,
      }
    }
  }
  return null
}

/** The effective user and group of this process. */
async function thisUser(): Promise<string> {
  const status = await readFile('/proc/self/status', 'utf8')
  const idOf = (name: string) => new RegExp(`^${name}:\\s*\\d+\\s+(\\d+)`, 'm').exec(status)?.[1]
  return `${idOf('Uid')}:${idOf('Gid')}`
}

/** As a shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** Resolves the part that exists; what is still to be made keeps its names. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    return join(await realPathOf(dirname(path)), basename(path))
  }
}

function isWithin(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`)
}

/** Blanks and the like are written as `\040`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
