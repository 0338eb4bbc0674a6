import { positiveInteger } from '../commands/options.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/** What makes room, and what undoes it. */
export function addSpace(host: Host, command: AddCommand, done: (code: number) => void): void {
  command(
    'clean',
    'make room: what FREE_SPACE_CLEAN names goes, oldest first, archived files to the second bucket',
  )
    .option('--dry-run', 'only say what would go, why, and what would be free then')
    .option('--json', 'a line of JSON for each disk')
    .action(async ({ dryRun = false, json = false }: { dryRun?: boolean; json?: boolean }) => {
      const { cleanCommand } = await import('../commands/clean.ts')
      const needs = dryRun ? (['database'] as const) : (['database', 'bucket'] as const)
      await session(host, { needs }, async (run) =>
        done(await cleanCommand(host, run.config, { ...run, dryRun, json })),
      )
    })
  command('recall', 'bring files back that were moved to the second bucket')
    .argument(
      '[items...]',
      'item ids, as "strongroom clean --json" and the log name them',
      eachPositive,
    )
    .option('--media <id>', 'instead the files of one media id', positiveInteger)
    .option('--json', 'a line of JSON for each file')
    .action(async (items: number[], { media, json = false }: RecallOptions) => {
      if (items.length > 0 === (media !== undefined))
        throw new AppError('USAGE', 'recall takes item ids, or --media, and not both')
      const { recallCommand } = await import('../commands/recall.ts')
      await session(host, { needs: ['database', 'bucket'] }, async (run) =>
        done(
          await recallCommand(host, run.config, {
            ...run,
            wanted: { items, mediaId: media ?? null },
            json,
          }),
        ),
      )
    })
}

interface RecallOptions {
  media?: number
  json?: boolean
}

function eachPositive(text: string, before: number[] = []): number[] {
  return [...before, positiveInteger(text)]
}
