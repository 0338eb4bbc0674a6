import { createSlots } from '../slots.ts'
import { type Answer, type Connection, openConnection, type Peer } from './http-connection.ts'

/** Connections to one server, kept for the next question. */
export interface Pool {
  /** As a connection asks; waits while as many as may be are in use. */
  ask(request: string, signal: AbortSignal): Promise<Answer | null>
  inUse(): number
  close(): void
}

export function openPool(peer: Peer, maxConnections: number): Pool {
  const slots = createSlots(maxConnections)
  const busy = new Set<Connection>()
  let idle: Connection[] = []
  let session: Buffer | undefined
  const keepSession = (fresh: Buffer) => {
    session = fresh
  }
  return {
    async ask(request, signal) {
      const giveBack = await slots.take(signal)
      idle = idle.filter(({ isIdle }) => isIdle)
      const connection = idle.pop() ?? openConnection(peer, { session, keepSession })
      busy.add(connection)
      return connection.ask(request, signal, (isReusable) => {
        busy.delete(connection)
        if (isReusable) idle.push(connection)
        giveBack()
      })
    },
    inUse: () => busy.size,
    close() {
      for (const connection of [...busy, ...idle]) connection.close()
    },
  }
}
