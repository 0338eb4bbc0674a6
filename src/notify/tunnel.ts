import { ask } from './post.ts'
import { createReach } from './reach.ts'
import type { Look } from './watch.ts'

const ANSWER_WITHIN_MS = 5_000
/** One answer that is missing may be a restart of cloudflared; with a look each 15 s the second is there within 40 s. */
const LOOKS_THAT_FAIL = 2

/**
 * Asks cloudflared whether it is connected: `/ready` of its metrics server answers 200 while it holds a connection to
 * Cloudflare and 503 while it holds none.
 *
 * @see https://developers.cloudflare.com/tunnel/monitoring/
 */
export function createTunnelLook(metrics: URL): Look {
  const host = metrics.hostname.replace(/^\[|\]$/g, '')
  // It is in our own network by its nature, and is sent nothing but the question.
  const everything = [
    { address: '0.0.0.0', prefixBits: 0 },
    { address: '::', prefixBits: 0 },
  ]
  const reach = createReach({ hosts: [host], ranges: everything })
  let failedLooks = 0
  return async (signal) => {
    const url = new URL('/ready', metrics)
    const outgoing = { url, method: 'GET', headers: {}, body: null } as const
    const answer = await ask(outgoing, { reach, signal, withinMs: ANSWER_WITHIN_MS })
    if (!('kind' in answer) && answer.status === 200) {
      failedLooks = 0
      return null
    }
    failedLooks += 1
    if (failedLooks < LOOKS_THAT_FAIL) return 'unsure'
    return {
      title: 'the tunnel is down',
      detail:
        'kind' in answer
          ? `cloudflared does not answer: ${answer.why}`
          : `cloudflared is not connected to Cloudflare: its /ready answered ${answer.status}`,
      next: 'look at the log of cloudflared and at the way to the internet; links do not open from outside until it is back',
    }
  }
}
