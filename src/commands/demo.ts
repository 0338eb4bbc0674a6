import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Config, parseConfig } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { createBackendTables } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { type ListedMedia, listMedia } from '../db/lookup.ts'
import { startBucket } from '../demo/bucket.ts'
import { startDatabase } from '../demo/database.ts'
import { openDemoFolder } from '../demo/folder.ts'
import { type DemoMedium, makeDemoMedia } from '../demo/media.ts'
import type { Host, Session } from '../host.ts'
import { openArchiveFolder } from '../open/folders.ts'
import { type Links, migrateWithLog, openLinks, openSync } from '../open.ts'
import { initVolume } from '../sync/volume.ts'
import { createProgress } from './progress.ts'
import { roles } from './roles.ts'
import { runOnce } from './run.ts'
import type { Service } from './servers.ts'
import { start } from './start.ts'
import { summaryText } from './summary.ts'
import { linkTo } from './token.ts'

type InSession = (config: Config, work: (run: Session) => Promise<void>) => Promise<void>

/** One line of the demo's table. */
interface Row {
  file: string
  verdict: string
  bytes: string
  sha256: string
  now: string
  asPlanted: boolean
}

/**
 * `strongroom demo`: real media go through the whole life of an item, on an embedded database and an embedded bucket that
 * the product reaches over the network like any other. @returns 0 when every verdict is the planted one
 */
export async function demo(
  host: Host,
  options: { dir: string; serve: boolean },
  inSession: InSession,
): Promise<number> {
  const dir = resolve(options.dir)
  const folder = await openDemoFolder(dir)
  try {
    return await demoIn(host, { ...options, dir }, inSession)
  } finally {
    await folder.close()
  }
}

async function demoIn(
  host: Host,
  { dir, serve }: { dir: string; serve: boolean },
  inSession: InSession,
): Promise<number> {
  host.err(`making media with ffmpeg in ${dir}\n`)
  const media = await makeDemoMedia(join(dir, 'media'))
  host.err('starting the embedded database and bucket\n')
  const database = await startDatabase(join(dir, 'postgres'))
  const keys = { accessKey: 'demo', secretKey: await keptSecret(join(dir, 'bucket-secret')) }
  const bucket = await startBucket({ dir: join(dir, 'bucket'), port: 0, bucket: 'demo', ...keys })
  const config = parseConfig(
    {
      LOG_LEVEL: 'error',
      LOG_FORMAT: 'text',
      SERVER_PORT: host.env.SERVER_PORT,
      ADMIN_PORT: host.env.ADMIN_PORT,
      ADMIN_TOKEN: await keptSecret(join(dir, 'admin-token')),
      FFPROBE_PATH: host.env.FFPROBE_PATH,
      FFPROBE_SMALL_PATH: host.env.FFPROBE_SMALL_PATH,
      DATABASE_URL: database.url,
      R2_ENDPOINT: bucket.endpoint,
      R2_BUCKET: 'demo',
      R2_ACCESS_KEY: keys.accessKey,
      R2_SECRET_KEY: keys.secretKey,
      ARCHIVE_DIR: join(dir, 'archive'),
      ERROR_DIR: join(dir, 'errors'),
      RELEASE_GRACE: '0',
      UNRAID_TUNNEL_SECRET: await keptSecret(join(dir, 'tunnel-secret')),
    },
    { needs: new Set(['database', 'bucket', 'tokens']), readFile: host.readFile },
  )
  let code = 1
  try {
    await inSession(config, async (run) => {
      code = await show(host, media, { ...run, serve, dir })
    })
  } finally {
    await bucket.close()
    await database.close()
  }
  return code
}

async function show(
  host: Host,
  media: DemoMedium[],
  run: Session & { serve: boolean; dir: string },
): Promise<number> {
  const { config, program } = run
  const links = openLinks(config, program)
  host.err('making the tables, and what a backend does: uploads and approved rows\n')
  await migrateWithLog(links.database, program.log)
  await createBackendTables(links.database, config.backend)
  await initVolume(await openArchiveFolder(config, openArchives(links.database)))
  await uploadAndApprove(links, media)
  host.err('archiving what is approved, then deleting its sources\n')
  const service = await openSync(config, program, links)
  const progress = createProgress({ ...run, log: program.log })
  const { summary, stoppedBy } = await runOnce(service, { ...run, progress })
  if (stoppedBy !== null) throw stoppedBy
  const rows = await tableOf(links, media)
  host.out(`\n${renderTable(rows)}\n\n${summaryText(summary)}\n`)
  const asPlanted = rows.every((row) => row.asPlanted)
  if (!asPlanted) host.err('a verdict is not the planted one\n')
  const whereText = `All data are in ${run.dir}: remove that folder to be rid of them.`
  if (run.serve && !run.drain.aborted) {
    const listening: Service['listening'] = async (ports) => {
      await printLinks(host, links.database, { config, port: ports.get('serve') ?? 0 })
      host.out(
        `\nConsole: http://127.0.0.1:${ports.get('admin')}/ – its token is ${config.admin.token}\n` +
          `\nServing until Ctrl-C. ${whereText}\n`,
      )
    }
    await start(host, config, { ...run, roles: new Set(roles), listening })
  } else host.out(`${whereText}\n`)
  return asPlanted ? 0 : 1
}

/** What a backend would have done: the objects in the bucket, approved rows in its table. Once per medium. */
async function uploadAndApprove({ database, bucket }: Links, media: DemoMedium[]): Promise<void> {
  for (const { name, path, kind, mimeType } of media) {
    const key = keyOf(name)
    const bytes = await readFile(path)
    const known = await database.run((sql) => sql`select 1 from media where object_key = ${key}`)
    if (known.length > 0) continue
    await bucket.put(key, bytes)
    await database.run(
      (sql) => sql`
        insert into media
          (user_id, title, filename, content_type, mime_type, file_size, object_key, status, approved_at)
        values (1, ${name}, ${name}, ${kind}, ${mimeType}, ${bytes.length}, ${key}, 'approved', now())`,
    )
  }
}

function keyOf(name: string): string {
  return `uploads/${name}`
}

async function tableOf({ database, bucket }: Links, media: DemoMedium[]): Promise<Row[]> {
  const items = await listMedia(database)
  const rows: Row[] = []
  for (const { name, valid } of media) {
    const item = items.find((each) => each.objectKey === keyOf(name))
    const inBucket = (await bucket.head(keyOf(name))) !== null
    const archived = item?.state === 'released' && !inBucket
    rows.push({
      file: name,
      verdict: archived ? 'archived' : `${item?.state ?? 'unknown'}: ${item?.reason ?? ''}`,
      bytes: String(item?.sizeBytes ?? ''),
      sha256: item?.sha256?.slice(0, 12) ?? '',
      now: whereItIs(item, inBucket),
      asPlanted: valid ? archived : item?.state === 'rejected' && inBucket,
    })
  }
  return rows
}

function whereItIs(item: ListedMedia | undefined, inBucket: boolean): string {
  const places = [
    ...(item?.archivePath ? [`archive/${item.archivePath}`] : []),
    ...(inBucket ? ['the bucket'] : []),
    ...(item?.state === 'rejected' ? ['errors/ (a copy)'] : []),
  ]
  return places.join(' and ')
}

function renderTable(rows: Row[]): string {
  const head = {
    file: 'FILE',
    verdict: 'VERDICT',
    bytes: 'BYTES',
    sha256: 'SHA-256',
    now: 'WHERE IT IS NOW',
  }
  const columns = Object.keys(head) as (keyof typeof head)[]
  const lines = [head, ...rows]
  const widths = columns.map((column) => Math.max(...lines.map((line) => line[column].length)))
  return lines
    .map((line) =>
      columns
        .map((column, i) => line[column].padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

async function printLinks(
  host: Host,
  database: Database,
  { config, port }: { config: Config; port: number },
): Promise<void> {
  host.out('\nLinks for one hour:\n')
  for (const { mediaId, archivePath } of await listMedia(database))
    if (archivePath !== null) {
      const file = { mediaId, userId: 1, archivePath, ttlSeconds: 3_600, inline: true }
      const link = await linkTo(config, file, port)
      host.out(`  ${link}\n`)
    }
}

/** A secret made once and kept with the demo's data, so that links and keys survive a restart. */
async function keptSecret(path: string): Promise<string> {
  try {
    await writeFile(path, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600 })
  } catch {
    // There from an earlier run.
  }
  return (await readFile(path, 'utf8')).trim()
}
