import { Option } from 'commander'
import { reconcileCommand } from '../commands/reconcile.ts'
import { type Role, roles } from '../commands/roles.ts'
import { shadowOnce } from '../commands/shadow.ts'
import { syncDryRun, syncOnce } from '../commands/sync.ts'
import type { Need } from '../config/setting.ts'
import type { Host } from '../host.ts'
import { openLinks } from '../open.ts'
import { type AddCommand, inSession, session } from './session.ts'

/** The commands that do the work. */
export function addService(host: Host, command: AddCommand, done: (code: number) => void): void {
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
      // Console, figures and their libraries take half as long to load as all the rest; other commands need none of it.
      const { start } = await import('../commands/start.ts')
      await session(host, { needs, log: host.stdout, shadow: true }, async (run) =>
        done(await start(host, run.config, { ...run, roles: wanted })),
      )
    })

  command('sync', 'recover, archive everything that is approved, release what is due')
    .requiredOption('--once', 'one run, then end ("start" repeats it)')
    .option('--dry-run', 'only say what would be done; writes nothing anywhere')
    .option('--json', 'the summary as JSON')
    .action(async (options: { dryRun?: boolean; json?: boolean }) => {
      await session(host, { needs: ['database', 'bucket'], shadow: true }, async (run) => {
        const json = options.json === true
        const dry = options.dryRun === true || run.config.mode === 'dry-run'
        const links = () => openLinks(run.config, run.program)
        const code = dry
          ? await syncDryRun(host, run.config, { ...run, links: links(), json })
          : run.config.mode === 'shadow'
            ? await shadowOnce(host, run.config, { ...run, json })
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
      const { demo } = await import('../commands/demo.ts')
      done(
        await demo(host, { ...options, serve }, (config, work) =>
          inSession(host, config, { work, log: host.stderr }),
        ),
      )
    })
}
