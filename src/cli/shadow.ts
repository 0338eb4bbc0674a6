import { Option } from 'commander'
import type { Host } from '../host.ts'
import { type DifferenceKind, differenceKinds } from '../shadow/evidence.ts'
import { type AddCommand, session, withOwnHelp } from './session.ts'

interface ReportOptions {
  html?: string
  json?: boolean
  accept: DifferenceKind[]
}

/** What compares a run in shadow mode with the service beside it. */
export function addShadow(host: Host, command: AddCommand, done: (code: number) => void): void {
  const shadow = command('shadow', 'compare a run in shadow mode with the service beside it')
  withOwnHelp(shadow.command('report'), 'shadow report')
    .description('what the other service did and Strongroom would have done; exit 0: cut over')
    .option('--html <file>', 'also as a page of one file')
    .option('--json', 'a line of JSON for each medium, and one at the end')
    .addOption(
      new Option('--accept <kind...>', 'do not count differences of this kind: they are meant')
        .choices(differenceKinds)
        .default([]),
    )
    .action(async ({ html, json = false, accept: accepted }: ReportOptions) => {
      const { shadowReport } = await import('../commands/shadow-report.ts')
      const page = html ?? null
      await session(host, { needs: ['database', 'bucket'], shadow: true }, async (run) =>
        done(await shadowReport(host, run.config, { ...run, html: page, json, accepted })),
      )
    })
}
