import type { Config } from '../config.ts'
import { systemCode } from '../errors.ts'
import type { Host } from '../host.ts'

/**
 * `strongroom health`: asks the running service; for container health checks. A node without a file server answers on its
 * admin port, and one that only syncs listens nowhere: it is healthy to this command if it has the admin role too.
 *
 * @returns the exit code
 */
export async function healthCommand(host: Host, config: Config, deep: boolean): Promise<number> {
  const { port, adminPort } = config.serve
  const ports = deep ? [adminPort, port] : [port, adminPort]
  const urls = ports.map((one) => `http://127.0.0.1:${one}/health${deep ? '/deep' : ''}`)
  for (const url of urls) {
    const answer = await ask(url)
    if (answer === 'refused') continue
    if (answer === null) {
      host.err(`nothing healthy answers at ${url}\n`)
      return 1
    }
    host.out(`${answer.text}\n`)
    return answer.ok ? 0 : 1
  }
  host.err(`nothing healthy answers at ${urls.join(' or ')}\n`)
  return 1
}

/** @returns null when whoever listens there gives no answer */
async function ask(url: string): Promise<{ ok: boolean; text: string } | 'refused' | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    return { ok: answer.ok, text: await answer.text() }
  } catch (error) {
    // Reset or too slow: for a health check these are one verdict.
    const cause = error instanceof Error ? error.cause : null
    return systemCode(cause) === 'ECONNREFUSED' ? 'refused' : null
  }
}
