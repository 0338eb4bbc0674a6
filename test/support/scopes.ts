import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { type ErrorCode, isAppError } from '../../src/errors.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'

/** What a scope needs of a test: a way to clean up after it. */
export type Scope = Pick<TestContext, 'after'>

/** An empty folder that is gone after the test. */
export async function withFolder(t: Scope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A disk on an empty folder that is gone after the test. */
export async function withDisk(t: Scope): Promise<Disk> {
  return openDisk(await withFolder(t))
}

/** For `assert.rejects`: the error is an AppError of this code, with a sentence that matches. */
export function hasCode(code: ErrorCode, sentence: RegExp = /./) {
  return (error: unknown): boolean => {
    if (isAppError(error, code) && sentence.test(error.message)) return true
    throw new Error(`expected ${code} ${sentence}, got ${String(error)}`, { cause: error })
  }
}

/** A small file system of its own, that can be filled, made read-only or taken away. */
export interface TestVolume {
  folder: string
  makeReadOnly(): Promise<void>
  /** Leaves the empty mount point behind, even while files are open. */
  takeAway(): Promise<void>
}

/** For a test's `skip`: the reason why this machine lets us mount nothing, or false. */
export function mountsRefused(): string | false {
  const probe = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()])
  return probe.status === 0 ? false : 'MOUNTS REFUSED: run as root with CAP_SYS_ADMIN to test this'
}

/** Mounts a tmpfs; it is unmounted after the test. */
export async function withVolume(t: Scope, sizeBytes: number): Promise<TestVolume> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'))
  const run = promisify(execFile)
  let mounted = false
  const takeAway = async () => {
    mounted = false
    await run('umount', ['--lazy', folder])
  }
  // One hook, because hooks run first come first served and a mounted folder cannot be removed.
  t.after(async () => {
    if (mounted) await takeAway()
    await rm(folder, { recursive: true, force: true })
  })
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'strongroom-test', folder])
  mounted = true
  return {
    folder,
    async makeReadOnly() {
      await run('mount', ['-o', 'remount,ro', folder])
    },
    takeAway,
  }
}

/** How many files, sockets and pipes this process has open. */
export async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length
}
