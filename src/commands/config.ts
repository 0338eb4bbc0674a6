import { effectiveConfig } from '../config/effective.ts'
import type { Host } from '../host.ts'

/** `strongroom config`: the effective settings, secrets masked, and where each came from. */
export function showConfig(host: Host): void {
  for (const { name, value, source } of effectiveConfig(host.env, host))
    host.out(`${name}=${value ?? ''}  # ${value === null ? 'not set' : source}\n`)
}
