import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'

/** @param what the command does; @throws MODE_UNSUPPORTED unless MODE is live */
export function requireLive({ mode }: Pick<Config, 'mode'>, what: string): void {
  if (mode !== 'live')
    throw new AppError('MODE_UNSUPPORTED', `MODE is ${mode}, not live, and ${what}`)
}
