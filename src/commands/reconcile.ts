import type { Config } from '../config.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { openLinks, openSync } from '../open.ts'
import { reconcile } from '../sync/reconcile.ts'
import { asRun } from './as-run.ts'
import { createProgress } from './progress.ts'
import { requireLive } from './require-live.ts'
import { recoveryText } from './summary.ts'
import { EXIT_UNFINISHED } from './sync.ts'
import { EXIT_STOPPED } from './verify.ts'

const kind: JobKind = { job: 'reconcile', mode: 'live', alone: false }

/** `strongroom reconcile`: finishes or undoes what a crash left. @returns the exit code */
export async function reconcileCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'screen' | 'drain'> & { json: boolean },
): Promise<number> {
  requireLive(config, 'recovery writes')
  const service = await openSync(config, run.program, openLinks(config, run.program))
  const progress = createProgress({ ...run, log: run.program.log })
  const disk = progress.reading(service.disk)
  const { database } = service
  const work = () => reconcile({ ...service, disk }, run.drain).finally(() => progress.end())
  const reconciled = await asRun(config, { ...run, database, kind }, work, (done) => ({
    items: { ...done },
    status: done.failed > 0 ? 'partial' : 'success',
  }))
  host.out(`${run.json ? JSON.stringify(reconciled) : recoveryText(reconciled)}\n`)
  if (run.drain.aborted) return EXIT_STOPPED
  return reconciled.failed > 0 ? EXIT_UNFINISHED : 0
}
