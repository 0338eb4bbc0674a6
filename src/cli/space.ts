import { cleanCommand } from '../commands/clean.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/** What makes room. */
export function addSpace(host: Host, command: AddCommand, done: (code: number) => void): void {
  command('clean', 'remove what FREE_SPACE_CLEAN names, oldest first, until there is room')
    .option('--dry-run', 'only say what would go, why, and what would be free then')
    .option('--json', 'a line of JSON for each disk')
    .action(async ({ dryRun = false, json = false }: { dryRun?: boolean; json?: boolean }) => {
      const needs = dryRun ? (['database'] as const) : (['database', 'bucket'] as const)
      await session(host, { needs }, async (run) =>
        done(await cleanCommand(host, run.config, { ...run, dryRun, json })),
      )
    })
}
