import { Option } from 'commander'
import type { FsckOptions } from '../commands/fsck-options.ts'
import { percentage, positiveInteger, webAddress } from '../commands/options.ts'
import type { Need } from '../config/setting.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/** The commands that look, and mend what they found. */
export function addInspection(host: Host, command: AddCommand, done: (code: number) => void): void {
  command('migrate', 'bring the database schema up to date').action(async () => {
    const { migrateCommand } = await import('../commands/migrate.ts')
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
        const { doctorOfEdge } = await import('../commands/edge.ts')
        const given = publicUrl === true ? null : webAddress(publicUrl)
        return session(host, { needs: ['tokens'] }, async (run) =>
          done(await doctorOfEdge(host, run.config, { ...run, publicUrl: given })),
        )
      }
      const { doctor } = await import('../commands/doctor.ts')
      const needs: Need[] = ['database', 'bucket']
      await session(host, { needs, shadow: true }, async ({ config, program }) =>
        done(await doctor(host, { config, program, compose })),
      )
    })
  command('verify', 'read archived files again and compare them with the database')
    .addOption(new Option('--all', 'all of them, as without it').conflicts('media'))
    .option('--media <id>', 'only those of one media id', positiveInteger)
    .option('--sample <percent>', 'only so many, chosen at random, for example 1%', percentage, 1)
    .option('--rate <MB/s>', 'read no faster than so many megabytes a second', positiveInteger)
    .option('--json', 'a line of JSON for each file that is not well, and one at the end')
    .option('--repair', 'heal what is wrong: fetched again where the source lives, else set aside')
    .option('--confirm', 'with --repair: also where so much is wrong that healing has stopped')
    .addOption(
      new Option('--second', 'instead read what was moved to the second bucket').conflicts([
        'repair',
        'rate',
        'sample',
      ]),
    )
    .action(async (options: VerifyOptions) => {
      const { media = null, sample: share, rate, json = false } = options
      if (options.second === true) {
        const { verifySecondCommand } = await import('../commands/verify-second.ts')
        return session(host, { needs: ['database'] }, async (run) =>
          done(await verifySecondCommand(host, run.config, { ...run, mediaId: media, json })),
        )
      }
      const { repair = false, confirm = false } = options
      if (confirm && !repair) throw new AppError('USAGE', '--confirm is for --repair')
      const { verifyCommand } = await import('../commands/verify.ts')
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
    .action(async (options: FsckOptions) => {
      const { needsOfFsck, runFsck } = await import('../commands/fsck-options.ts')
      await session(host, { needs: needsOfFsck(options) }, async (run) =>
        done(await runFsck(host, { ...run, options })),
      )
    })
  for (const [name, description, work] of [
    ['why', 'what became of one medium, why, and what to do now, in one line', 'whyCommand'],
    [
      'show',
      'the proof that a medium was archived: digests, ETag, times, of each version',
      'showCommand',
    ],
  ] as const)
    command(name, description)
      .argument('<media id>', 'as the media table has it', positiveInteger)
      .option('--json', 'as JSON')
      .action(async (mediaId: number, { json = false }: { json?: boolean }) => {
        const commands = await import('../commands/why.ts')
        await session(host, { needs: ['database'] }, ({ config, program }) =>
          commands[work](host, config, { program, mediaId, json }),
        )
      })
  command('config', 'print the effective settings, secrets masked').action(async () => {
    const { showConfig } = await import('../commands/config.ts')
    showConfig(host)
  })
  command('health', 'ask the running service; exit 0 when it is well')
    .option('--deep', 'also database, bucket and archive')
    .action(async (options: { deep?: boolean }) => {
      const { healthCommand } = await import('../commands/health.ts')
      const { parseConfig } = await import('../config.ts')
      const config = parseConfig(host.env, {
        needs: new Set(),
        readFile: host.readFile,
        shadow: true,
      })
      done(await healthCommand(host, config, options.deep === true))
    })
}

interface VerifyOptions {
  media?: number
  sample: number
  rate?: number
  json?: boolean
  repair?: boolean
  confirm?: boolean
  second?: boolean
}
