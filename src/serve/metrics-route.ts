import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono'
import { commonHeaders, neverStored } from './file-headers.ts'

/** What a monitoring system reads: Prometheus' text format, version 0.0.4. */
export interface Exposition {
  readonly contentType: string
  /** Never throws and never waits long for what is slow. */
  text(): Promise<string>
}

export function addMetricsRoute<Env extends { Bindings: HttpBindings }>(
  app: Hono<Env>,
  metrics: Exposition,
): void {
  app.get('/metrics', async ({ env: { outgoing } }) => {
    const bytes = Buffer.from(await metrics.text())
    outgoing.writeHead(200, {
      ...commonHeaders,
      ...neverStored,
      'Content-Type': metrics.contentType,
      'Content-Length': bytes.length,
    })
    outgoing.end(bytes)
    return RESPONSE_ALREADY_SENT
  })
}
