import { type Config, effectiveConfig } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { createBackendTables } from '../db/backend.ts'
import { countByState, findArchived } from '../db/lookup.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import {
  migrateWithLog,
  openArchiveFolder,
  openDatabaseOnly,
  openLinks,
  openSync,
  type Program,
} from '../open.ts'
import { linkPathOf } from '../serve/locate.ts'
import { mintToken } from '../serve/token.ts'
import { reconcile } from '../sync/reconcile.ts'
import { acceptVolume, initVolume } from '../sync/volume.ts'

/** `strongroom config`: the effective settings, secrets masked, and where each came from. */
export function showConfig(host: Host): void {
  for (const { name, value, source } of effectiveConfig(host.env, host))
    host.out(`${name}=${value ?? ''}  # ${value === null ? 'not set' : source}\n`)
}

/** `strongroom migrate`: our schema, and the backend's two tables where they do not exist. */
export async function migrateCommand(host: Host, config: Config, program: Program): Promise<void> {
  const database = openDatabaseOnly(config, program)
  const applied = await migrateWithLog(database, program.log)
  await createBackendTables(database, config.backend)
  host.out(applied.length === 0 ? 'the schema is up to date\n' : `applied ${applied.join(', ')}\n`)
}

/** `strongroom reconcile`: finishes or undoes what a crash left. */
export async function reconcileCommand(
  host: Host,
  config: Config,
  run: { program: Program; drain: AbortSignal },
): Promise<void> {
  const service = await openSync(config, run.program, openLinks(config, run.program))
  host.out(`${JSON.stringify(await reconcile(service, run.drain))}\n`)
}

/** `strongroom init-volume` and `accept-volume`. */
export async function volumeCommand(
  host: Host,
  config: Config,
  { program, accept }: { program: Program; accept: boolean },
): Promise<void> {
  const database = openDatabaseOnly(config, program)
  if (config.migrateOnStart) await migrateWithLog(database, program.log)
  const parts = await openArchiveFolder(config, openArchives(database))
  const id = accept ? await acceptVolume(parts) : await initVolume(parts)
  host.out(`${config.archive.dir} is archive ${id}\n`)
}

/** `strongroom release pause|resume|status`: holds at once on all nodes. */
export async function releaseCommand(
  host: Host,
  config: Config,
  {
    program,
    verb,
    reason,
  }: { program: Program; verb: 'pause' | 'resume' | 'status'; reason: string | null },
): Promise<void> {
  const database = openDatabaseOnly(config, program)
  const archives = openArchives(database)
  if (verb === 'pause') await archives.pauseRelease(reason)
  if (verb === 'resume') await archives.resumeRelease()
  const archive = await archives.find()
  if (archive === null)
    throw new AppError('VOLUME_UNCLAIMED', 'there is no archive in this database yet', {
      hint: 'run "strongroom sync --once" or "strongroom init-volume" first',
    })
  const counts = await countByState(database)
  const paused = archive.releasePaused
  host.out(
    paused === null
      ? 'releases are running\n'
      : `releases are paused since ${paused.at.toISOString()}${paused.reason === null ? '' : `: ${paused.reason}`}\n`,
  )
  for (const [state, count] of Object.entries(counts)) host.out(`  ${state}: ${count}\n`)
}

/** `strongroom token`: a link to one archived file, as the backend would mint it. */
export async function tokenCommand(
  host: Host,
  config: Config,
  {
    program,
    mediaId,
    ttlSeconds,
    userId,
  }: {
    program: Program
    mediaId: number
    ttlSeconds: number
    userId: number | null
  },
): Promise<void> {
  const { serve } = config
  if (serve.tokens === null) throw new AppError('CONFIG_INVALID', 'UNRAID_TUNNEL_SECRET is not set')
  const found = await findArchived(openDatabaseOnly(config, program), mediaId)
  if (found === null)
    throw new AppError('NOT_FOUND', `media ${mediaId} is not in the archive`, {
      hint: 'only archived media have links; see its state in strongroom.items',
    })
  const token = await mintToken({
    mediaId,
    userId: userId ?? found.userId ?? 1,
    ttlSeconds,
    tokens: serve.tokens,
    now: new Date(),
  })
  const base = serve.publicUrl ?? `http://127.0.0.1:${serve.port}`
  host.out(
    `${base.replace(/\/$/, '')}${linkPathOf(found.archivePath, serve.pathPrefix)}?token=${token}\n`,
  )
}

/** `strongroom health`: asks the running service; for container health checks. @returns the exit code */
export async function healthCommand(host: Host, config: Config, deep: boolean): Promise<number> {
  const port = deep ? config.serve.adminPort : config.serve.port
  const url = `http://127.0.0.1:${port}/health${deep ? '/deep' : ''}`
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    host.out(`${await answer.text()}\n`)
    return answer.ok ? 0 : 1
  } catch {
    // Refused, reset or too slow: for a health check these are one verdict.
    host.err(`nothing healthy answers at ${url}\n`)
    return 1
  }
}
