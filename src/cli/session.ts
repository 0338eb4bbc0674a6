import type { Command } from 'commander'
import type { Need } from '../config/setting.ts'
import { type Config, parseConfig, secretsOf } from '../config.ts'
import type { Host, Session } from '../host.ts'
import { createStopStack, superviseSignals } from '../lifecycle.ts'
import { createLog } from '../log.ts'
import { createLogTail } from '../log-tail.ts'
import { openScreen } from '../screen.ts'

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
  const { env, readFile } = host
  const config = parseConfig(env, { needs: new Set(needs), readFile, shadow })
  await inSession(host, config, { work, log })
}

/** Opens log, signals and stop stack around `work`; whatever was opened is closed, however it ends. */
export async function inSession(
  host: Host,
  config: Config,
  { work, log: destination }: { work: (run: Session) => Promise<void>; log: 1 | 2 },
): Promise<void> {
  host.setUmask(config.archive.umask)
  const screen = destination === host.stderr ? openScreen(host) : null
  const logTail = createLogTail()
  const log = createLog({
    ...config.log,
    also: logTail.add,
    destination: screen ?? destination,
    secrets: secretsOf(config),
  })
  for (const warning of config.warnings) log.warn({}, warning)
  const stops = createStopStack({ log })
  const supervision = superviseSignals({
    on: host.signals,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    exit: (code) => host.exit(code),
    log,
  })
  try {
    const { version, reached, env } = host
    const program = { version, searchPath: env.PATH, home: env.HOME, log, logTail, stops, reached }
    const signals = { drain: supervision.draining, abort: supervision.aborted }
    await work({ config, program, screen, ...signals })
  } finally {
    await stops.stopAll()
    supervision.end()
  }
}
