import type { Hono } from 'hono'
import { listActions } from '../db/admin-actions.ts'
import { findHistory } from '../db/history.ts'
import { findItem } from '../db/item-list.ts'
import { findArchived } from '../db/lookup.ts'
import { AppError } from '../errors.ts'
import { mediumPage } from './pages/medium.ts'
import type { AdminParts } from './parts.ts'
import { answerPage, type ConsoleEnv, contextOf, idOf } from './visit.ts'

const ACTIONS_SHOWN = 10

export function addMediumPages(app: Hono<ConsoleEnv>, parts: AdminParts): void {
  const { database } = parts
  app.get('/media/:id', async (c) => {
    const mediaId = idOf(c.req.param('id'))
    if (mediaId === null) throw unknown()
    const backend = await parts.backend()
    const history = await findHistory(database, backend, mediaId)
    if (history.row === null && history.items.length === 0) throw unknown()
    const newest = await findItem(database, backend, { mediaId })
    const archived = await findArchived(database, mediaId)
    const kind = newest?.probe?.kind ?? newest?.contentType ?? null
    const view = {
      mediaId,
      history,
      newest,
      approved: backend.mapping.status.approved,
      preview: archived === null || kind === null ? null : { kind },
      isArchived: archived !== null,
      sidecar: archived === null ? null : await parts.sidecar(archived.archivePath),
      actions: await listActions(database, { before: null, mediaId, limit: ACTIONS_SHOWN }),
    }
    return answerPage(mediumPage(contextOf(c), view))
  })
  app.get('/media/:id/file', async (c) => {
    const mediaId = idOf(c.req.param('id'))
    const archived = mediaId === null ? null : await findArchived(database, mediaId)
    if (mediaId === null || archived === null) throw unknown()
    return c.env.sendFile({ mediaId, archivePath: archived.archivePath })
  })
}

function unknown(): AppError {
  return new AppError('NOT_FOUND', 'there is no such medium', {
    hint: 'look for it by its name; ids are those of the backend’s media table',
  })
}
