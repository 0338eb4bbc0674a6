import { Option } from 'commander'
import { type Role, roles } from '../commands/roles.ts'
import type { Need } from '../config/setting.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/**
 * The commands that do the work. What a command needs is loaded when it is run, here and in all these files: to load
 * everything takes longer than most commands do.
 */
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
        const { startDiskThread } = await import('../storage/disk-calls.ts')
        startDiskThread()
        const { syncDryRun, syncOnce } = await import('../commands/sync.ts')
        const asked = { ...run, json }
        if (dry) {
          const { openLinks } = await import('../open.ts')
          const links = openLinks(run.config, run.program)
          done(await syncDryRun(host, run.config, { ...asked, links }))
        } else if (run.config.mode === 'live') done(await syncOnce(host, run.config, asked))
        else {
          const { shadowOnce } = await import('../commands/shadow.ts')
          done(await shadowOnce(host, run.config, asked))
        }
      })
    })

  command('reconcile', 'finish or undo what a crash left')
    .option('--json', 'what was done as JSON')
    .action(async (options: { json?: boolean }) => {
      const { reconcileCommand } = await import('../commands/reconcile.ts')
      await session(host, { needs: ['database', 'bucket'] }, async (run) =>
        done(await reconcileCommand(host, run.config, { ...run, json: options.json === true })),
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
      const { inSession } = await import('./in-session.ts')
      done(
        await demo(host, { ...options, serve }, (config, work) =>
          inSession(host, config, { work, log: host.stderr }),
        ),
      )
    })
}
