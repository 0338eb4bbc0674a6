import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
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
