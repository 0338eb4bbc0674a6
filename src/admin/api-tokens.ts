import { createRoute } from '@hono/zod-openapi'
import { audited, takeBack } from './actions.ts'
import { type Api, answers, body, json, notFound } from './api-answers.ts'
import * as schema from './api-schemas.ts'
import { toJson } from './json.ts'
import type { AdminParts } from './parts.ts'

/** Links, made and taken back. */
export function addTokens(api: Api, parts: AdminParts): void {
  const { database } = parts
  const mintRoute = createRoute({
    method: 'post',
    path: '/tokens',
    summary: 'Mint a link to one archived file',
    request: { body: body(schema.mintOrder) },
    responses: { ...answers, ...notFound, 201: json(schema.link, 'The link.') },
  })
  api.openapi(mintRoute, async (c) => {
    const order = c.req.valid('json')
    const wish = {
      mediaId: order.media_id,
      userId: order.user_id,
      ttlSeconds: order.ttl_seconds,
      ip: order.ip,
      maxDownloads: order.max_downloads,
    }
    const { mediaId, ...details } = wish
    const by = { actor: 'api', client: c.env.client }
    const made = await audited(database, { ...by, action: 'mint', mediaId, details }, () =>
      parts.mint(wish),
    )
    return c.json(toJson(made), 201)
  })

  const revokeRoute = createRoute({
    method: 'post',
    path: '/tokens/revoke',
    summary: 'Take a link back on all servers of this database',
    request: { body: body(schema.revocation) },
    responses: { ...answers, 200: json(schema.revoked, 'Servers refuse it within 5 s.') },
  })
  api.openapi(revokeRoute, async (c) => {
    const { token: named, keep_seconds: keep } = c.req.valid('json')
    const keepMs = keep === null ? null : keep * 1_000
    const revoke = () => parts.revoke({ named, keepMs })
    const by = { actor: 'api', client: c.env.client }
    return c.json(await takeBack(database, by, { keepMs, revoke }), 200)
  })
}
