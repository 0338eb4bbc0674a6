import { constants } from 'node:fs'
import { access, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PRIVATE_FOLDER } from '../archive-path.ts'
import { systemCode } from '../errors.ts'
import { readRejectedName } from '../set-aside.ts'

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

/** @returns what is wrong and what to do about it; null when this process may write there */
export async function whyNotWritable(
  folder: string,
): Promise<{ wrong: string; remedy: string } | null> {
  for (const part of [folder, join(folder, PRIVATE_FOLDER)]) {
    try {
      await access(part, constants.R_OK | constants.W_OK | constants.X_OK)
    } catch (error) {
      // What is absent, read-only or failing is told by the first real use.
      if (systemCode(error) !== 'EACCES') continue
      return (await closedParent(folder)) ?? (await denied(folder, part))
    }
  }
  return null
}

async function closedParent(folder: string): Promise<{ wrong: string; remedy: string } | null> {
  const parent = dirname(folder)
  if (parent === folder) return null
  const above = await closedParent(parent)
  if (above !== null || (await may(parent, constants.X_OK))) return above
  const me = await thisUser()
  return {
    wrong: `lies below ${parent}, which ${me} may not enter`,
    remedy: `choose a folder elsewhere, or let ${me} enter ${parent}`,
  }
}

/** The smallest change that helps, and none where it would take a folder away from others. */
async function denied(folder: string, part: string): Promise<{ wrong: string; remedy: string }> {
  const { uid, gid } = await stat(part)
  const me = await thisUser()
  const wrong = `belongs to ${uid}:${gid}, and ${me} may not write there`
  const use = await useOf(folder)
  if (use === 'others')
    return {
      wrong,
      remedy: `choose a folder of its own, for example ${quoted(join(folder, 'strongroom'))}, made by root and given to ${me}`,
    }
  if (me.startsWith(`${uid}:`)) return { wrong, remedy: `run: chmod u+rwx ${quoted(part)}` }
  const all = use === 'archive' ? '-R ' : ''
  const remedy = `as root run: chown ${all}${me} ${quoted(folder)}`
  const unknown = ', if it is meant for Strongroom alone; otherwise choose a folder of its own'
  return { wrong, remedy: use === 'unknown' ? `${remedy}${unknown}` : remedy }
}

/** Theirs and everything below: to change their owner ruins the machine. */
const SYSTEM_TREES = /^\/(?:bin|boot|dev|etc|lib(?:32|64|x32)?|proc|run|sbin|sys|usr)(?:\/|$)/
/** Shared by others, or somebody's home; what lies deeper may be an archive. */
const SHARED_FOLDERS = /^\/(?:|home|media|mnt|opt|root|srv|tmp|var)$|^\/(?:home|var)\/[^/]+$/

/** Whose a folder is, by where it lies and what is in it. */
async function useOf(folder: string): Promise<'archive' | 'free' | 'others' | 'unknown'> {
  const real = await realpath(folder)
  if (SYSTEM_TREES.test(real) || SHARED_FOLDERS.test(real)) return 'others'
  if (await may(join(folder, PRIVATE_FOLDER), constants.F_OK)) return 'archive'
  try {
    const names = await readdir(folder)
    return names.every((name) => readRejectedName(name) !== null) ? 'free' : 'others'
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error
    return 'unknown'
  }
}

async function may(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode)
    return true
  } catch {
    // Whatever the reason, it may not.
    return false
  }
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
