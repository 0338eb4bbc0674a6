import type { Hono } from 'hono'
import { type AppError, toAppError } from '../errors.ts'
import { acknowledge, audited, retry, syncNow, verifySoon } from './actions.ts'
import type { Looker } from './look.ts'
import type { AdminParts } from './parts.ts'
import type { Notice } from './sessions.ts'
import { type ConsoleEnv, idOf, ownForm, seeOther, type Visit } from './visit.ts'

/** What can be pressed. None of it deletes, moves or changes a file of the archive. */
export function addButtons(app: Hono<ConsoleEnv>, parts: AdminParts, looker: Looker): void {
  const { database } = parts
  press(app, '/sync', async (visit) => {
    const run = await syncNow(parts, actorOf(visit))
    return {
      text: `Run ${run.id} is asked for: a node that syncs begins it within seconds.`,
      more: null,
    }
  })
  press(app, '/integrity/look', async (visit) => {
    const action = { ...actorOf(visit), action: 'look', mediaId: null, details: {} }
    await audited(database, action, async () => looker.start())
    return { text: 'The look has begun.', more: null }
  })
  press(app, '/media/:id/retry', async (visit) => {
    await retry(database, actorOf(visit), mediaIdOf(visit))
    return { text: 'It is next: the next run takes it.', more: null }
  })
  press(app, '/media/:id/verify', async (visit) => {
    await verifySoon(parts, actorOf(visit), mediaIdOf(visit))
    return {
      text: 'It is the next file to be read again; load this page again to see.',
      more: null,
    }
  })
  press(app, '/media/:id/acknowledge', async (visit) => {
    await acknowledge(database, actorOf(visit), { mediaId: mediaIdOf(visit), note: null })
    return { text: 'Noted: it is listed again only when its state changes.', more: null }
  })
  press(app, '/media/:id/link', async (visit, fields) => {
    const mediaId = mediaIdOf(visit)
    const ttlSeconds = Number(fields.ttl)
    const order = { mediaId, userId: null, ttlSeconds, ip: null, maxDownloads: null }
    const action = { ...actorOf(visit), action: 'mint', mediaId, details: { ttlSeconds } }
    const { url } = await audited(database, action, () => parts.mint(order))
    return { text: 'Whoever has this link can load the file. It is shown once.', more: url }
  })
}

type Done = Pick<Notice, 'text' | 'more'>

/** The answer of every button is the page that it was on, which says how it went. */
function press(
  app: Hono<ConsoleEnv>,
  path: string,
  work: (visit: Visit, fields: Record<string, string>) => Promise<Done>,
): void {
  app.post(path, async (visit) => {
    const fields = await ownForm(visit)
    const session = visit.get('session')
    try {
      session.notice = { tone: 'good', ...(await work(visit, fields)) }
    } catch (thrown) {
      const error = toAppError(thrown)
      if (error.code === 'INTERNAL') throw error
      session.notice = { tone: 'bad', ...noticeOf(error) }
    }
    return seeOther(placeOf(visit.req.path))
  })
}

function noticeOf({ message, hint }: AppError): Done {
  return { text: `Not done: ${message}.`, more: hint }
}

/** Where the button is. */
function placeOf(path: string): string {
  const up = path.slice(0, path.lastIndexOf('/'))
  return up === '' ? '/' : up
}

function actorOf({ env }: Visit) {
  return { actor: 'console', client: env.client }
}

/** What is no id is of no medium. */
function mediaIdOf({ req }: Visit): number {
  return idOf(req.param('id')) ?? 0
}
