import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { listActions } from '../db/admin-actions.ts'
import { damagedFiles } from '../db/damaged.ts'
import { readGauges } from '../db/gauges.ts'
import { AppError } from '../errors.ts'
import { itemStates } from '../item-states.ts'
import { createAssets } from './assets.ts'
import { addButtons } from './buttons.ts'
import type { Doorkeeper } from './doorkeeper.ts'
import { createEventStreams } from './events.ts'
import { createLooker } from './look.ts'
import { addMediumPages } from './medium-routes.ts'
import { isOwnHost } from './origin.ts'
import { actionsPage } from './pages/actions.ts'
import type { ApiDocument } from './pages/docs.ts'
import { docsPage } from './pages/docs.ts'
import { integrityPage } from './pages/integrity.ts'
import { itemsPage } from './pages/items.ts'
import { overviewPage, type Shown } from './pages/overview.ts'
import { nextOf } from './paging.ts'
import type { AdminParts } from './parts.ts'
import { safeHeaders } from './problem.ts'
import { createPulse, type Pulse } from './pulse.ts'
import { addRunPages } from './run-routes.ts'
import { findItems } from './search.ts'
import { createSessions } from './sessions.ts'
import { addSignIn, addSignOut } from './sign-in.ts'
import { smallBodies } from './small-bodies.ts'
import { answerPage, type ConsoleEnv, contextOf, idOf, sessionOf, type Visit } from './visit.ts'

const PAGE = 50
const DAMAGED_SHOWN = 100

/** The pages for people: made by the server, with one small script for what changes while it is looked at. */
export function createConsole(
  parts: AdminParts,
  { doorkeeper, document }: { doorkeeper: Doorkeeper; document: () => ApiDocument },
): Hono<ConsoleEnv> {
  const sessions = createSessions()
  const assets = createAssets()
  const app = new Hono<ConsoleEnv>()
  app.use(smallBodies)
  app.use(async ({ env }, next) => {
    const { host = '' } = env.incoming.headers
    if (!isOwnHost(host, parts.hosts))
      throw new AppError('REQUEST_FOREIGN', `${host.slice(0, 100)} is no name of this service`, {
        hint: 'use its address, or put that name into ADMIN_HOSTS',
      })
    await next()
  })
  app.get('/assets/:name', async (c) => (await assets(c.req.param('name'))) ?? c.notFound())
  addSignIn(app, { sessions, doorkeeper })
  app.use(async (c, next) => {
    const session = sessionOf(c, sessions)
    if (session === null) return toSignIn(c)
    c.set('session', session)
    return next()
  })
  addSignOut(app, sessions)
  const looker = createLooker(parts.lookAround)
  addOverview(app, parts)
  addLists(app, parts)
  addMediumPages(app, parts)
  addRunPages(app, parts)
  addButtons(app, parts, looker)
  app.get('/integrity', async (c) => {
    const { database, backend } = parts
    const view = {
      gauges: await readGauges(database, await backend()),
      damaged: await damagedFiles(database, DAMAGED_SHOWN),
      most: DAMAGED_SHOWN,
      look: looker.latest(),
    }
    return answerPage(integrityPage(contextOf(c), view))
  })
  app.get('/docs', (c) => answerPage(docsPage(contextOf(c), document())))
  return app
}

function toSignIn(visit: Visit): Response {
  const { req } = visit
  if (req.method !== 'GET') throw new AppError('ADMIN_DENIED', 'nobody is signed in here')
  const { pathname, search } = new URL(req.url)
  const isEvents = pathname === '/events'
  if (isEvents) throw new AppError('ADMIN_DENIED', 'nobody is signed in here')
  const place = `${pathname}${search}`
  return visit.redirect(place === '/' ? '/login' : `/login?next=${encodeURIComponent(place)}`, 303)
}

function addOverview(app: Hono<ConsoleEnv>, parts: AdminParts): void {
  const source = createPulse(parts)
  const show = async (pulse: Pulse): Promise<Shown> => ({
    pulse,
    transfers: parts.live.transfers(),
    nowMs: performance.now(),
    approved: await approvedOf(parts),
    now: new Date(),
  })
  const streams = createEventStreams(source, show)
  parts.closing.addEventListener('abort', () => streams.close())
  app.get('/', async (c) => answerPage(overviewPage(contextOf(c), await show(await source.now()))))
  app.get('/events', async (c) => {
    if (parts.closing.aborted) throw new AppError('CANCELLED', 'this process is stopping')
    const { outgoing, moved } = c.env
    const { isOver } = c.get('session')
    await streams.open({ outgoing, moved, isOver }, safeHeaders)
    return RESPONSE_ALREADY_SENT
  })
}

/** The word for it, where the backend's tables can be looked at; else the one that is configured is not known yet. */
async function approvedOf({ backend }: AdminParts): Promise<string> {
  const tables = await backend().catch(() => null)
  return tables?.mapping.status.approved ?? 'approved'
}

function addLists(app: Hono<ConsoleEnv>, parts: AdminParts): void {
  app.get('/items', async (c) => {
    const text = (c.req.query('q') ?? '').slice(0, 200).trim()
    const state = itemStates.find((one) => one === c.req.query('state')) ?? null
    const unseen = c.req.query('unseen') === 'true'
    const found = await findItems(parts, {
      states: state === null ? null : [state],
      unseen,
      text,
      before: idOf(c.req.query('before')),
      limit: PAGE,
    })
    const approved = await approvedOf(parts)
    return answerPage(itemsPage(contextOf(c), { found, text, state, unseen, approved }))
  })
  app.get('/actions', async (c) => {
    const before = idOf(c.req.query('before'))
    const actions = await listActions(parts.database, { before, mediaId: null, limit: PAGE })
    const next = nextOf(actions, PAGE, ({ id }) => id)
    return answerPage(actionsPage(contextOf(c), { actions, next }))
  })
}
