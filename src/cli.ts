import { Command, CommanderError, Option } from 'commander'
import { type AdoptOptions, adoptCommand, fromDatabase, wishOf } from './commands/adopt.ts'
import { adoptFromDatabase } from './commands/adopt-legacy.ts'
import { showConfig } from './commands/config.ts'
import { demo } from './commands/demo.ts'
import { doctor } from './commands/doctor.ts'
import { doctorOfEdge } from './commands/edge.ts'
import { type FsckOptions, needsOfFsck, runFsck } from './commands/fsck-options.ts'
import { healthCommand } from './commands/health.ts'
import { migrateCommand } from './commands/migrate.ts'
import { percentage, positiveInteger, ttlSeconds, webAddress } from './commands/options.ts'
import { reconcileCommand } from './commands/reconcile.ts'
import { releaseCommand } from './commands/release.ts'
import { revokeCommand } from './commands/revocations.ts'
import { type Role, roles, start } from './commands/start.ts'
import { syncDryRun, syncOnce } from './commands/sync.ts'
import { tokenCommand } from './commands/token.ts'
import { verifyCommand } from './commands/verify.ts'
import { initAlone, volumeCommand } from './commands/volume.ts'
import { withEnvFile } from './config/env-file.ts'
import type { Need } from './config/setting.ts'
import { type Config, parseConfig, secretsOf } from './config.ts'
import { AppError, toAppError } from './errors.ts'
import type { Host, Session } from './host.ts'
import { createStopStack, superviseSignals } from './lifecycle.ts'
import { createLog } from './log.ts'
import { openLinks } from './open.ts'
import { openScreen } from './screen.ts'

const exitCodes = `
Exit codes: 0 done, for start also stopped by a signal with the work in hand finished; 1 failed, unhealthy, or a
sync that a signal cut short; 64 wrong usage; 69 database, bucket or ffprobe not reachable, a port taken or a
clock off; 70 internal error; 74 archive missing, foreign, full or failing; 75 done, but some items need
another run or a person; 77 access refused; 78 wrong configuration.`

/** Runs one command line. @returns the exit code */
export async function runCli(process: Host, args: readonly string[]): Promise<number> {
  let code = 0
  const host = { ...process }
  const program = describe(host, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64
    return report(host, error)
  }
}

/** One clear error: what is wrong and what to do. */
function report(host: Host, thrown: unknown): number {
  const error = toAppError(thrown)
  host.err(`strongroom: ${error.message}\n`)
  host.err(`  ${error.hint}\n`)
  if (error.code === 'INTERNAL' && error.cause instanceof Error) host.err(`${error.cause.stack}\n`)
  return error.exit
}

function describe(host: Host, done: (code: number) => void): Command {
  const cli = new Command('strongroom')
    .description(
      'Moves approved media out of object storage into an archive you own, and serves them.',
    )
    .version(host.version)
    .option(
      '--env-file <file>',
      'read settings from NAME=value lines, each value as it is, like "docker run --env-file"',
    )
    .hook('preAction', (root) => {
      const { envFile } = root.opts<{ envFile?: string }>()
      if (envFile !== undefined) host.env = withEnvFile(host.env, envFile, host.readFile)
    })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.out(text),
      writeErr: (text) => host.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'strongroom: ')),
    })
    .addHelpText('after', exitCodes)
    .showHelpAfterError('  "strongroom --help" lists the commands')
  const command = (name: string, description: string) =>
    withOwnHelp(cli.command(name).description(description), name)
  addService(host, command, done)
  addVolume(host, command)
  addAdoption(host, command, done)
  addInspection(host, command, done)
  return cli
}

function withOwnHelp(command: Command, name: string): Command {
  return command.showHelpAfterError(`  "strongroom ${name} --help" tells how it is used`)
}

type AddCommand = (name: string, description: string) => Command

function addService(host: Host, command: AddCommand, done: (code: number) => void): void {
  command('start', 'run syncer, file server and admin server until a signal comes')
    .addOption(
      new Option('--role <role...>', 'only these parts').choices(roles).default([...roles]),
    )
    .action(async (options: { role: Role[] }) => {
      const wanted = new Set(options.role)
      const needs: Need[] = [
        ...(wanted.has('sync') ? (['database', 'bucket'] as const) : []),
        ...(wanted.has('serve') ? (['tokens'] as const) : []),
      ]
      await session(host, { needs, log: host.stdout }, async (run) =>
        done(await start(host, run.config, { ...run, roles: wanted })),
      )
    })

  command('sync', 'recover, archive everything that is approved, release what is due')
    .requiredOption('--once', 'one run, then end ("start" repeats it)')
    .option('--dry-run', 'only say what would be done; writes nothing anywhere')
    .option('--json', 'the summary as JSON')
    .action(async (options: { dryRun?: boolean; json?: boolean }) => {
      await session(host, { needs: ['database', 'bucket'] }, async (run) => {
        const json = options.json === true
        const dry = options.dryRun === true || run.config.mode === 'dry-run'
        const links = () => openLinks(run.config, run.program)
        const code = dry
          ? await syncDryRun(host, run.config, { ...run, links: links(), json })
          : await syncOnce(host, run.config, { ...run, json })
        done(code)
      })
    })

  command('reconcile', 'finish or undo what a crash left')
    .option('--json', 'what was done as JSON')
    .action(async (options: { json?: boolean }) => {
      await session(host, { needs: ['database', 'bucket'] }, (run) =>
        reconcileCommand(host, run.config, { ...run, json: options.json === true }),
      )
    })

  command('demo', 'a whole archive on embedded parts, in ./demo-data; nothing else is needed')
    .option('--dir <folder>', 'where its data live', 'demo-data')
    .option(
      '--no-serve',
      'stop after the table, as DEMO_SERVE=0; exit 0 only if every verdict is the planted one',
    )
    .action(async (options: { dir: string; serve: boolean }) => {
      const serve = options.serve && host.env.DEMO_SERVE !== '0'
      done(
        await demo(host, { ...options, serve }, (config, work) =>
          inSession(host, config, { work, log: host.stderr }),
        ),
      )
    })
}

function addVolume(host: Host, command: AddCommand): void {
  command('init-volume', 'make ARCHIVE_DIR the archive of a new database, wherever it lies')
    .option('--no-database', 'of no database: for a file server that stands alone')
    .action(async (options: { database: boolean }) => {
      await session(host, { needs: options.database ? ['database'] : [] }, ({ config, program }) =>
        options.database
          ? volumeCommand(host, config, { program, accept: false })
          : initAlone(host, config),
      )
    })
  command(
    'accept-volume',
    'accept the archive at ARCHIVE_DIR as the one of this database; clears a failed disk',
  ).action(async () => {
    await session(host, { needs: ['database'] }, ({ config, program }) =>
      volumeCommand(host, config, { program, accept: true }),
    )
  })

  const release = command('release', 'hold or resume the deletion of sources, on all nodes at once')
  for (const [verb, description] of [
    ['pause', 'delete no source any more, on no node, until "release resume"'],
    ['resume', 'go on deleting the sources that are due'],
    ['status', 'whether releases run, and how many items are in which state'],
  ] as const) {
    const sub = withOwnHelp(release.command(verb).description(description), `release ${verb}`)
    if (verb === 'pause')
      sub.option('--reason <text>', 'shown by "release status"; without it an earlier one stays')
    sub.action(async (options: { reason?: string }) => {
      await session(host, { needs: ['database'] }, ({ config, program }) =>
        releaseCommand(host, config, { program, verb, reason: options.reason ?? null }),
      )
    })
  }
}

function addAdoption(host: Host, command: AddCommand, done: (code: number) => void): void {
  command('adopt', 'give existing files their sidecars, so that tokens open them')
    .argument('[file...]', 'one file, which needs no database; in the archive it stays where it is')
    .option('--media-id <id>', 'the media id that tokens for it carry', positiveInteger)
    .option('--user-id <id>', 'whose it is', positiveInteger)
    .option('--into <path>', 'where in the archive a file from outside is copied to')
    .option('--strict', 'refuse what ffprobe does not know as media')
    .option('--from-database', 'all that another service archived; no byte is moved')
    .option('--dry-run', 'with --from-database: look at names and sizes, write nothing')
    .option('--json', 'with --from-database: lines and summary as JSON')
    .action(async (files: string[], options: AdoptOptions) => {
      const { dryRun = false, json = false } = options
      if (!fromDatabase(files, options)) {
        const wish = wishOf(files, options)
        return session(host, { needs: [] }, (run) =>
          adoptCommand(host, run.config, { ...run, ...wish }),
        )
      }
      await session(host, { needs: ['database'] }, async (run) =>
        done(await adoptFromDatabase(host, run.config, { ...run, dryRun, json })),
      )
    })
}

function addInspection(host: Host, command: AddCommand, done: (code: number) => void): void {
  command('migrate', 'bring the database schema up to date').action(async () => {
    await session(host, { needs: ['database'] }, ({ config, program }) =>
      migrateCommand(host, config, program),
    )
  })
  command('doctor', 'check everything; print the remedy for whatever is wrong and what to do next')
    .option(
      '--compose',
      'print a compose file for these settings, and the checks to standard error',
    )
    .option(
      '--public-url [url]',
      'instead ask for a file through this address (default: PUBLIC_URL); names what is set wrong at the edge',
    )
    .action(async (options: { compose?: boolean; publicUrl?: string | true }) => {
      const { compose = false, publicUrl } = options
      if (publicUrl !== undefined) {
        const given = publicUrl === true ? null : webAddress(publicUrl)
        return session(host, { needs: ['tokens'] }, async (run) =>
          done(await doctorOfEdge(host, run.config, { ...run, publicUrl: given })),
        )
      }
      await session(host, { needs: ['database', 'bucket'] }, async ({ config, program }) =>
        done(await doctor(host, { config, program, compose })),
      )
    })
  command('verify', 'read archived files again and compare them with the database')
    .option('--media <id>', 'only those of one media id', positiveInteger)
    .option('--sample <percent>', 'only so many, chosen at random, for example 1%', percentage, 1)
    .option('--rate <MB/s>', 'read no faster than so many megabytes a second', positiveInteger)
    .option('--json', 'a line of JSON for each file that is not well, and one at the end')
    .option('--repair', 'heal what is wrong: fetched again where the source lives, else set aside')
    .option('--confirm', 'with --repair: also where so much is wrong that healing has stopped')
    .action(async (options: VerifyOptions) => {
      const { media = null, sample: share, rate, json = false } = options
      const { repair = false, confirm = false } = options
      if (confirm && !repair) throw new AppError('USAGE', '--confirm is for --repair')
      await session(host, { needs: repair ? ['database', 'bucket'] : ['database'] }, async (run) =>
        done(
          await verifyCommand(host, run.config, {
            ...run,
            selection: { mediaId: media, share },
            rate: rate === undefined ? null : rate * 1_000_000,
            json,
            repair: repair ? { confirmed: confirm } : null,
          }),
        ),
      )
    })
  command(
    'fsck',
    'hold items and archive against each other: whatever is missing, foreign or left half done',
  )
    .option('--repair', 'put right what is safe to put right, each under its item’s lease')
    .option('--relocate', 'only bring files that were moved by hand back to their paths')
    .option('--from-sidecars', 'make the items of a lost database anew; reads no media')
    .option('--confirm', 'also where so much is wrong that it stops')
    .option('--json', 'a line of JSON for each finding, and one at the end')
    .action((options: FsckOptions) =>
      session(host, { needs: needsOfFsck(options) }, async (run) =>
        done(await runFsck(host, { ...run, options })),
      ),
    )
  command('config', 'print the effective settings, secrets masked').action(() => {
    showConfig(host)
    parseConfig(host.env, { needs: new Set(), readFile: host.readFile })
  })
  command('health', 'ask the running service; exit 0 when it is well')
    .option('--deep', 'also database, bucket and archive')
    .action(async (options: { deep?: boolean }) => {
      const config = parseConfig(host.env, { needs: new Set(), readFile: host.readFile })
      done(await healthCommand(host, config, options.deep === true))
    })
  addToken(host, command)
}

interface TokenOptions {
  media?: number
  file?: string
  user?: number
  ttl: number
  ip?: string
  maxDownloads?: number
}

function addToken(host: Host, command: AddCommand): void {
  const token = command('token', 'mint a link to one archived file')
    .option('--media <id>', 'media id, looked up in the database', positiveInteger)
    .option('--file <path>', 'or its path in the archive: its sidecar tells the rest')
    .option('--user <id>', 'user id in the token (default: the media row’s)', positiveInteger)
    .option('--ttl <duration>', 'how long it opens the file', ttlSeconds, 3_600)
    .option('--max-downloads <n>', 'how many visitors’ downloads it allows', positiveInteger)
    .option('--ip <address>', 'the only address, or range of addresses, that it works from')
    .action(async (options: TokenOptions) => {
      const { media, file, user, ttl, ip, maxDownloads } = options
      // A required option would be required of "token revoke" as well.
      if ((media === undefined) === (file === undefined))
        return token.error("error: one of the options '--media <id>' and '--file <path>' is needed")
      const needs: Need[] = media === undefined ? ['tokens'] : ['database', 'tokens']
      await session(host, { needs }, ({ config, program }) =>
        tokenCommand(host, config, {
          program,
          of: media ?? file ?? '',
          userId: user ?? null,
          ttlSeconds: ttl,
          ip: ip ?? null,
          maxDownloads: maxDownloads ?? null,
        }),
      )
    })
  withOwnHelp(token.command('revoke'), 'token revoke')
    .description('take a link back: no server of this database opens a file for it any more')
    .argument('<token>', 'the link, its token, or a jti, which stands for all tokens with it')
    .option(
      '--keep <duration>',
      'for a jti: how long its tokens can be valid (default: for ever)',
      ttlSeconds,
    )
    .action(async (named: string, { keep }: { keep?: number }) => {
      await session(host, { needs: ['database', 'tokens'] }, ({ config, program }) => {
        const keepMs = keep === undefined ? null : keep * 1_000
        return revokeCommand(host, config, { program, named, keepMs })
      })
    })
}

interface VerifyOptions {
  media?: number
  sample: number
  rate?: number
  json?: boolean
  repair?: boolean
  confirm?: boolean
}

/** Reads the configuration, then runs `work` in a session. */
async function session(
  host: Host,
  { needs, log = host.stderr }: { needs: readonly Need[]; log?: 1 | 2 },
  work: (run: Session) => Promise<void>,
): Promise<void> {
  const config = parseConfig(host.env, { needs: new Set(needs), readFile: host.readFile })
  await inSession(host, config, { work, log })
}

/** Opens log, signals and stop stack around `work`; whatever was opened is closed, however it ends. */
async function inSession(
  host: Host,
  config: Config,
  { work, log: destination }: { work: (run: Session) => Promise<void>; log: 1 | 2 },
): Promise<void> {
  host.setUmask(config.archive.umask)
  const screen = destination === host.stderr ? openScreen(host) : null
  const log = createLog({
    ...config.log,
    destination: screen ?? destination,
    secrets: secretsOf(config),
  })
  for (const warning of config.warnings) log.warn({}, warning)
  const stops = createStopStack({ log })
  const supervision = superviseSignals({
    on: host.signals,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    exit: (code) => host.exit(code),
    log,
  })
  try {
    const { version, reached, env } = host
    const program = { version, searchPath: env.PATH, log, stops, reached }
    const signals = { drain: supervision.draining, abort: supervision.aborted }
    await work({ config, program, screen, ...signals })
  } finally {
    await stops.stopAll()
    supervision.end()
  }
}
