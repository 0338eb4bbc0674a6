import type { OpenAPIHono, z } from '@hono/zod-openapi'
import type { MountedBindings } from '../mounted.ts'
import * as schema from './api-schemas.ts'

export interface AdminEnv {
  Bindings: MountedBindings
}

export type Api = OpenAPIHono<AdminEnv>

/** What every route may answer. */
export const answers = {
  400: json(schema.problem, 'The request is malformed.'),
  401: json(schema.problem, 'ADMIN_TOKEN is missing or wrong.'),
  429: json(schema.problem, 'Too many wrong tokens came from this address.'),
  500: json(schema.problem, 'It failed here; the log tells more.'),
  503: json(schema.problem, 'Something that it needs is away.'),
}
export const notFound = { 404: json(schema.problem, 'There is no such thing.') }
export const refused = {
  409: json(schema.problem, 'It would change nothing, or not what was meant.'),
}

export function json<Schema extends z.ZodType>(of: Schema, description: string) {
  return { description, content: { 'application/json': { schema: of } } }
}

export function body<Schema extends z.ZodType>(of: Schema) {
  return { content: { 'application/json': { schema: of } }, required: true }
}
