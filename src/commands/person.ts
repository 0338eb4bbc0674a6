import { acknowledge, retry } from '../admin/actions.ts'
import type { Config } from '../config.ts'
import type { Host } from '../host.ts'
import { openMigrated, type Program } from '../open.ts'
import { requireLive } from './require-live.ts'

interface Order {
  program: Program
  mediaId: number
}

const actor = { actor: 'command', client: null }

/** `strongroom retry`: what waits for its time is tried with the next run. @throws ACTION_REFUSED, NOT_FOUND */
export async function retryCommand(host: Host, config: Config, order: Order): Promise<void> {
  requireLive(config, 'no item is tried')
  const database = await openMigrated(config, order.program)
  await retry(database, actor, order.mediaId)
  host.out(`media ${order.mediaId} is next: the next run takes it\n`)
}

/** `strongroom acknowledge`: a person has seen it in the state that it is in. @throws ACTION_REFUSED, NOT_FOUND */
export async function acknowledgeCommand(
  host: Host,
  config: Config,
  { program, mediaId, note }: Order & { note: string | null },
): Promise<void> {
  requireLive(config, 'a note is written to the database')
  const database = await openMigrated(config, program)
  await acknowledge(database, actor, { mediaId, note })
  host.out(`noted: media ${mediaId} is listed again only when its state changes\n`)
}
