import { type Config, secretsOf } from '../config.ts'
import type { Host, Session } from '../host.ts'
import { createStopStack, superviseSignals } from '../lifecycle.ts'
import { createLog } from '../log.ts'
import { createLogTail } from '../log-tail.ts'
import { openScreen } from '../screen.ts'

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
