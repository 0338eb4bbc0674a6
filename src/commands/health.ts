import type { Config } from '../config.ts'
import type { Host } from '../host.ts'

/** `strongroom health`: asks the running service; for container health checks. @returns the exit code */
export async function healthCommand(host: Host, config: Config, deep: boolean): Promise<number> {
  const port = deep ? config.serve.adminPort : config.serve.port
  const url = `http://127.0.0.1:${port}/health${deep ? '/deep' : ''}`
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    host.out(`${await answer.text()}\n`)
    return answer.ok ? 0 : 1
  } catch {
    // Refused, reset or too slow: for a health check these are one verdict.
    host.err(`nothing healthy answers at ${url}\n`)
    return 1
  }
}
