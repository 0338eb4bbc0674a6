import { createRoute } from '@hono/zod-openapi'
import { findHistory } from '../db/history.ts'
import type { ListedItem } from '../db/item-list.ts'
import { AppError } from '../errors.ts'
import type { MountedBindings } from '../mounted.ts'
import { whyLine } from '../why.ts'
import { acknowledge, retry, verifySoon } from './actions.ts'
import { type Api, answers, body, json, notFound, refused } from './api-answers.ts'
import * as schema from './api-schemas.ts'
import { toJson } from './json.ts'
import type { AdminParts } from './parts.ts'
import { findItems } from './search.ts'

/** What is under care, and why it is where it is. */
export function addItems(api: Api, parts: AdminParts): void {
  const { database } = parts
  const listRoute = createRoute({
    method: 'get',
    path: '/items',
    summary: 'Media under care, newest first, each with why it is where it is',
    request: { query: schema.itemQuery },
    responses: { ...answers, 200: json(schema.itemPage, 'A page of them.') },
  })
  api.openapi(listRoute, async (c) => {
    const { state, q, before, limit, unseen } = c.req.valid('query')
    const found = await findItems(parts, {
      states: state === undefined ? null : [state],
      unseen: unseen === 'true',
      text: q ?? null,
      before: before ?? null,
      limit,
    })
    const approved = (await parts.backend()).mapping.status.approved
    const items = found.items.map((item) => itemJson(item, approved))
    return c.json({ items, next: found.next }, 200)
  })

  const oneRoute = createRoute({
    method: 'get',
    path: '/items/{media_id}',
    summary: 'One medium: why it is where it is, and the proof of each of its versions',
    request: { params: schema.mediaIdParam },
    responses: { ...answers, ...notFound, 200: json(schema.medium, 'All that is known of it.') },
  })
  api.openapi(oneRoute, async (c) => {
    const { media_id: mediaId } = c.req.valid('param')
    const backend = await parts.backend()
    const { row, items } = await findHistory(database, backend, mediaId)
    if (row === null && items.length === 0)
      throw new AppError('NOT_FOUND', `there is no media row ${mediaId}, and never was an item`)
    const why = whyLine({ row, items }, backend.mapping.status.approved)
    return c.json({ media_id: mediaId, why, row: toJson(row), versions: toJson(items) }, 200)
  })
}

function itemJson(item: ListedItem, approved: string) {
  return { ...toJson(item), why: whyLine({ row: item.row, items: [item] }, approved) }
}

/** What a person may do about a medium. */
export function addItemActions(api: Api, parts: AdminParts): void {
  const { database } = parts
  const actor = (c: { env: MountedBindings }) => ({ actor: 'api', client: c.env.client })
  /** What became of it, for whoever asked for it. */
  const done = async (mediaId: number) => {
    const backend = await parts.backend()
    const history = await findHistory(database, backend, mediaId)
    return { media_id: mediaId, why: whyLine(history, backend.mapping.status.approved) }
  }

  const retryRoute = createRoute({
    method: 'post',
    path: '/items/{media_id}/retry',
    summary: 'Try again now what waits for its time',
    description:
      'Only what is `waiting` or `missing` is tried again. What is held or rejected needs a new approval; the answer says what to do instead.',
    request: { params: schema.mediaIdParam },
    responses: { ...answers, ...notFound, ...refused, 200: json(schema.done, 'It is next.') },
  })
  api.openapi(retryRoute, async (c) => {
    const { media_id: mediaId } = c.req.valid('param')
    await retry(database, actor(c), mediaId)
    return c.json(await done(mediaId), 200)
  })

  const acknowledgeRoute = createRoute({
    method: 'post',
    path: '/items/{media_id}/acknowledge',
    summary: 'Note that a person has seen it in the state that it is in',
    request: {
      params: schema.mediaIdParam,
      body: { ...body(schema.acknowledgement), required: false },
    },
    responses: { ...answers, ...notFound, ...refused, 200: json(schema.done, 'It is noted.') },
  })
  api.openapi(acknowledgeRoute, async (c) => {
    const { media_id: mediaId } = c.req.valid('param')
    // Where there is no body nothing was validated, and no default filled in.
    const { note = null } = c.req.valid('json')
    await acknowledge(database, actor(c), { mediaId, note })
    return c.json(await done(mediaId), 200)
  })

  const verifyRoute = createRoute({
    method: 'post',
    path: '/items/{media_id}/verify',
    summary: 'Read the archived file again before all others',
    description: 'A syncing node reads it, and heals it from the bucket where that is possible.',
    request: { params: schema.mediaIdParam },
    responses: {
      ...answers,
      ...notFound,
      ...refused,
      202: json(schema.done, 'It is the next to be read.'),
    },
  })
  api.openapi(verifyRoute, async (c) => {
    const { media_id: mediaId } = c.req.valid('param')
    await verifySoon(parts, actor(c), mediaId)
    return c.json(await done(mediaId), 202)
  })
}
