import { type Command, Option } from 'commander'
import { positiveInteger } from '../commands/options.ts'
import type { Host } from '../host.ts'
import { type Job, jobs } from '../runs.ts'
import { type AddCommand, session, withOwnHelp } from './session.ts'

/** The commands that tell what was done. */
export function addHistory(host: Host, command: AddCommand): void {
  const runs = command('runs', 'what was done, when, and how it came out; the newest last')
    .addOption(new Option('--job <job>', 'only runs of this job').choices(jobs))
    .option('--limit <count>', 'how many', positiveInteger, 20)
    .option('--follow', 'go on telling of runs that begin and end, until Ctrl-C')
    .option('--json', 'a line of JSON for each')
    .action(async (options: { job?: Job; limit: number; follow?: boolean; json?: boolean }) => {
      const { runsCommand } = await import('../commands/runs.ts')
      const { job = null, limit, follow = false, json = false } = options
      await session(host, { needs: ['database'] }, ({ config, ...run }) =>
        runsCommand(host, config, { ...run, job, limit, follow, json }),
      )
    })
  withOwnHelp(
    runs.command('show').description('one run, and what became of each of its items'),
    'runs show',
  )
    .argument('<id>', 'as "strongroom runs" prints it', positiveInteger)
    .option('--json', 'as JSON: the run, then a line for each item')
    .action(async (id: number, _: object, show: Command) => {
      const { showRunCommand } = await import('../commands/runs.ts')
      // The option stands before or after the word "show".
      const { json = false } = show.optsWithGlobals<{ json?: boolean }>()
      await session(host, { needs: ['database'] }, ({ config, program }) =>
        showRunCommand(host, config, { program, id, json }),
      )
    })
}
