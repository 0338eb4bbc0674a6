import type { Command } from 'commander'
import type { Need } from '../config/setting.ts'
import type { Host, Session } from '../host.ts'

/** Makes a command of the program. */
export type AddCommand = (name: string, description: string) => Command

/** Wrong usage of a command points to its own help. */
export function withOwnHelp(command: Command, name: string): Command {
  return command.showHelpAfterError(`  "strongroom ${name} --help" tells how it is used`)
}

/** Reads the configuration, then runs `work` in a session; in shadow mode only with `shadow`. */
export async function session(
  host: Host,
  {
    needs,
    log = host.stderr,
    shadow = false,
  }: { needs: readonly Need[]; log?: 1 | 2; shadow?: boolean },
  work: (run: Session) => Promise<void>,
): Promise<void> {
  const { parseConfig } = await import('../config.ts')
  const { inSession } = await import('./in-session.ts')
  const { env, readFile } = host
  const config = parseConfig(env, { needs: new Set(needs), readFile, shadow })
  await inSession(host, config, { work, log })
}
