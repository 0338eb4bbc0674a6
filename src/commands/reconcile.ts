import type { Config } from '../config.ts'
import type { Host } from '../host.ts'
import { openLinks, openSync, type Program } from '../open.ts'
import { reconcile } from '../sync/reconcile.ts'

/** `strongroom reconcile`: finishes or undoes what a crash left. */
export async function reconcileCommand(
  host: Host,
  config: Config,
  run: { program: Program; drain: AbortSignal },
): Promise<void> {
  const service = await openSync(config, run.program, openLinks(config, run.program))
  host.out(`${JSON.stringify(await reconcile(service, run.drain))}\n`)
}
