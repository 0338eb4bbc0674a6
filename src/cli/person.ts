import { positiveInteger } from '../commands/options.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session } from './session.ts'

/** What a person does about a medium; the console and the API do the same. */
export function addPerson(host: Host, command: AddCommand): void {
  command('retry', 'try again with the next run what only waits for its time')
    .argument('<media id>', 'as the media table has it', positiveInteger)
    .action(async (mediaId: number) => {
      const { retryCommand } = await import('../commands/person.ts')
      await session(host, { needs: ['database'] }, ({ config, program }) =>
        retryCommand(host, config, { program, mediaId }),
      )
    })
  command('acknowledge', 'note that somebody has seen what needs a person')
    .argument('<media id>', 'as the media table has it', positiveInteger)
    .option('--note <text>', 'what was found out, or who was asked')
    .action(async (mediaId: number, { note }: { note?: string }) => {
      const { acknowledgeCommand } = await import('../commands/person.ts')
      await session(host, { needs: ['database'] }, ({ config, program }) =>
        acknowledgeCommand(host, config, {
          program,
          mediaId,
          note: note?.slice(0, 1000).toWellFormed() ?? null,
        }),
      )
    })
}
