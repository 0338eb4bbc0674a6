import type { Config } from '../config.ts'
import type { Host, Session } from '../host.ts'

export async function demo(
  _host: Host,
  _options: { dir: string; serve: boolean },
  _inSession: (config: Config, work: (run: Session) => Promise<void>) => Promise<void>,
): Promise<number> {
  throw new Error('in work')
}
