import { randomBytes } from 'node:crypto'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { toAppError } from '../errors.ts'
import type { AddressRange } from '../ip-address.ts'
import type { Log } from '../log.ts'
import type { Mounted } from '../mounted.ts'
import { answerFailure } from './attend.ts'
import { createClientAddress } from './client-address.ts'
import { createFileRoute } from './file-route.ts'
import { linkPathOf } from './locate.ts'
import { nothingRevoked } from './revocations.ts'
import { mintToken } from './token.ts'
import type { Visit } from './visit.ts'

const MIB = 1024 * 1024
/** Of one request: its token never leaves this process. */
const TTL_SECONDS = 60

/** Another part's pages on a server of ours. */
export interface Mount {
  answer(request: Request, visit: Visit): Promise<Response>
  close(): Promise<void>
}

/** Gives pages what only the server around them knows: who asks, and the way of files to visitors. */
export function createMount({
  pages,
  archiveDir,
  trustedProxies,
  log,
}: {
  pages: Mounted
  archiveDir: string
  trustedProxies: readonly AddressRange[]
  log: Log
}): Mount {
  const clientOf = createClientAddress({ trusted: trustedProxies, onUntrusted: () => {} })
  const tokens = {
    secrets: [randomBytes(32).toString('hex')],
    audience: null,
    issuer: null,
    maxTtlSeconds: TTL_SECONDS,
    stringIds: false,
  }
  const route = createFileRoute({
    archiveDir,
    tokens,
    rules: { trustedProxies, tokenFailuresPerMinute: 0 },
    revoked: nothingRevoked,
    limits: { streamsPerUser: 0, streamsPerClient: 0 },
    pathPrefix: '',
    corsOrigins: [],
    offload: null,
    elsewhere: null,
    log,
    bufferBytes: 16 * MIB,
    now: () => new Date(),
    clock: () => performance.now(),
  })
  return {
    async answer(request, visit) {
      const { incoming, outgoing, watched } = visit
      const client = clientOf(incoming)
      visit.client = client
      const answer = await pages(request, {
        incoming,
        outgoing,
        client,
        moved: () => watched.moved(),
        async sendFile({ mediaId, archivePath }) {
          const order = { mediaId, userId: 1, ttlSeconds: TTL_SECONDS, tokens, now: new Date() }
          const query = `?token=${await mintToken(order)}&disposition=inline`
          // The one way from a request to its bytes reads the request itself.
          incoming.url = `${linkPathOf(archivePath, '')}${query}`
          // A proxy's, and beside ours a second token.
          delete incoming.headers.authorization
          try {
            await route.serve(visit)
          } catch (error) {
            // What the pages would say of it would be read as bytes of the file.
            if (!outgoing.headersSent) throw error
            answerFailure(visit, toAppError(error), log)
          }
          return RESPONSE_ALREADY_SENT
        },
      })
      if (!outgoing.headersSent) outgoing.statusCode = answer.status
      return answer
    },
    close: () => route.openFiles.close(),
  }
}
