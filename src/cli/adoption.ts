import type { AdoptOptions } from '../commands/adopt.ts'
import { positiveInteger } from '../commands/options.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/** What brings files under our care that others archived. */
export function addAdoption(host: Host, command: AddCommand, done: (code: number) => void): void {
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
      const { adoptCommand, fromDatabase, wishOf } = await import('../commands/adopt.ts')
      const { dryRun = false, json = false } = options
      if (!fromDatabase(files, options)) {
        const wish = wishOf(files, options)
        return session(host, { needs: [] }, (run) =>
          adoptCommand(host, run.config, { ...run, ...wish }),
        )
      }
      const { adoptFromDatabase } = await import('../commands/adopt-legacy.ts')
      await session(host, { needs: ['database'] }, async (run) =>
        done(await adoptFromDatabase(host, run.config, { ...run, dryRun, json })),
      )
    })
}
