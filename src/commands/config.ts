import { effectiveConfig } from '../config/effective.ts'
import { parseConfig } from '../config.ts'
import type { Host } from '../host.ts'

/**
 * `strongroom config`: the effective settings, secrets masked, and where each came from; then what is odd about them, such as
 * a name that is none.
 *
 * @throws CONFIG_INVALID
 */
export function showConfig(host: Host): void {
  for (const { name, value, source } of effectiveConfig(host.env, host))
    host.out(`${name}=${value ?? ''}  # ${value === null ? 'not set' : source}\n`)
  const { warnings } = parseConfig(host.env, {
    needs: new Set(),
    readFile: host.readFile,
    shadow: true,
  })
  for (const warning of warnings) host.err(`strongroom: warning: ${warning}\n`)
}
