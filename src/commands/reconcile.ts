import type { Config } from '../config.ts'
import type { Host, Session } from '../host.ts'
import { openLinks, openSync } from '../open.ts'
import { reconcile } from '../sync/reconcile.ts'
import { createProgress } from './progress.ts'
import { recoveryText } from './summary.ts'

/** `strongroom reconcile`: finishes or undoes what a crash left. */
export async function reconcileCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'screen' | 'drain'> & { json: boolean },
): Promise<void> {
  const service = await openSync(config, run.program, openLinks(config, run.program))
  const progress = createProgress({ ...run, log: run.program.log })
  const disk = progress.reading(service.disk)
  const reconciled = await reconcile({ ...service, disk }, run.drain).finally(() => progress.end())
  host.out(`${run.json ? JSON.stringify(reconciled) : recoveryText(reconciled)}\n`)
}
