import type { IncomingMessage } from 'node:http'
import { AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import { answerError } from './answer.ts'
import type { Listener } from './connections.ts'
import { allowOrigin, answerOptions, type CorsOrigins, knowsOptions } from './cors.ts'
import type { FileRoute } from './file-route.ts'
import { isUnframed, prepareRequest } from './request-rules.ts'
import { loggedPath, logVisit, newVisit, type Visit, type Watch } from './visit.ts'

/** The edge waits for longer, but visitors do not. */
const firstByteMs = 5_000

/**
 * The order in which a request is judged:
 *
 * 1. What is no request by the RFCs is refused (request-rules.ts).
 * 2. OPTIONS is answered, where pages of other sites may ask at all (cors.ts).
 * 3. GET and HEAD ask for a file, where there are any: token, path, file, conditions (file-route.ts).
 * 4. Health, and what else the server has, is the pages'.
 *
 * Whatever the answer, it has the headers of cors.ts, and the log has a line.
 */
export function createListener({
  files,
  pages,
  corsOrigins,
  log,
  watchdog,
  traffic,
}: Watch & {
  files: FileRoute | null
  /** Answers by itself, and logs the visit. */
  pages: (visit: Visit) => Promise<void>
  corsOrigins: CorsOrigins
  log: Log
}): Listener {
  return (incoming, outgoing) => {
    const visit = newVisit(incoming, outgoing, { watchdog, traffic })
    const fault = prepareRequest(incoming)
    // Node reads nothing more from a connection that was to be upgraded, nor could it where the framing is broken.
    if (incoming.headers.upgrade !== undefined || isUnframed(incoming))
      outgoing.setHeader('Connection', 'close')
    allowOrigin(incoming, outgoing, corsOrigins)
    if (fault !== null) {
      answerFailure(visit, fault, log)
      return logVisit(visit, log)
    }
    if (incoming.method === 'OPTIONS' && knowsOptions(corsOrigins)) {
      answerOptions(incoming, outgoing, corsOrigins)
      return logVisit(visit, log)
    }
    if (files !== null && isForFile(incoming)) return attend(visit, { files, log })
    return pages(visit)
  }
}

/** All but health, whose pages have no names below them that a file could have. */
function isForFile({ method, url = '' }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  return !url.startsWith('/health') || !/^\/health(?:\/deep)?(?:\?|$)/.test(url)
}

/** RFC 9112 6.3. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined
}

/** Files do not pass through Hono: making a web request of each cost more than sending a small file. */
async function attend(visit: Visit, { files, log }: { files: FileRoute; log: Log }): Promise<void> {
  visit.traffic.underWay += 1
  let late: NodeJS.Timeout | undefined
  try {
    // A file that is at hand would be answered before the rest of the packet showed that the request is broken.
    if (hasBody(visit.incoming)) await new Promise((resolve) => setImmediate(resolve))
    const served = files.serve(visit)
    // What is at hand is answered by now, and most files are.
    if (!visit.outgoing.headersSent) late = setTimeout(answerLate, firstByteMs, visit, log)
    await served
  } catch (error) {
    answerFailure(visit, toAppError(error), log)
  } finally {
    clearTimeout(late)
    visit.traffic.underWay -= 1
  }
  logVisit(visit, log)
}

function answerLate(visit: Visit, log: Log): void {
  if (visit.outgoing.headersSent || visit.outgoing.destroyed) return
  answerFailure(visit, new AppError('ARCHIVE_SLOW', 'no first byte in time'), log)
}

export function answerFailure(visit: Visit, failure: AppError, log: Log): void {
  const { incoming, outgoing } = visit
  visit.complete = false
  visit.reason = failure.reason
  if (failure.status >= 500) {
    log.error({ error: failure, path: loggedPath(incoming.url ?? '') }, 'a request failed')
  }
  // After the headers only a broken connection tells the visitor that the file is not whole.
  if (outgoing.headersSent) outgoing.destroy()
  else answerError(outgoing, failure)
}
