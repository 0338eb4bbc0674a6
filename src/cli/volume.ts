import type { Host } from '../host.ts'
import { type AddCommand, session, withOwnHelp } from './session.ts'

/** The commands that say what an archive is, and whether its sources may go. */
export function addVolume(host: Host, command: AddCommand): void {
  command('init-volume', 'make ARCHIVE_DIR the archive of a new database, wherever it lies')
    .option('--no-database', 'of no database: for a file server that stands alone')
    .action(async (options: { database: boolean }) => {
      const { initAlone, volumeCommand } = await import('../commands/volume.ts')
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
    const { volumeCommand } = await import('../commands/volume.ts')
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
      const { releaseCommand } = await import('../commands/release.ts')
      await session(host, { needs: ['database'] }, ({ config, program }) =>
        releaseCommand(host, config, { program, verb, reason: options.reason ?? null }),
      )
    })
  }
}
