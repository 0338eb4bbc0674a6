/** The program between a backend's empty tables and an empty folder; it knows no bucket. */
import { join } from 'node:path'
import { createBackendTables, databaseEnv, type TestSql, withDatabase } from './postgres.ts'
import { startTalking, type TalkingProgram } from './program.ts'
import { type Scope, withFolder } from './scopes.ts'
import type { Ended, Env } from './service.ts'

export interface Installation {
  archiveDir: string
  env: Env
  sql: TestSql
  start(...args: string[]): TalkingProgram
  run(...args: string[]): Promise<Ended>
}

/** @param more further settings */
export async function withInstallation(t: Scope, more: Env = {}): Promise<Installation> {
  const { config, sql } = await withDatabase(t)
  await createBackendTables(sql)
  const archiveDir = await withFolder(t)
  const env = {
    PATH: process.env.PATH ?? '',
    ...databaseEnv(config),
    ARCHIVE_DIR: archiveDir,
    ERROR_DIR: join(archiveDir, 'no such folder'),
    ...more,
  }
  const start = (...args: string[]) => startTalking(t, args, env)
  return { archiveDir, env, sql, start, run: (...args) => start(...args).ended }
}
