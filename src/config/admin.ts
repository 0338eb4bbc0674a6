import type { SettingValues } from './settings.ts'

/** The console and the API on the admin port. */
export interface AdminConfig {
  /** Null: both are off. */
  token: string | null
  /** Names by which browsers may ask for the console, in lower case. */
  hosts: readonly string[]
}

export function adminConfig(values: SettingValues): AdminConfig {
  return { token: values.ADMIN_TOKEN, hosts: values.ADMIN_HOSTS ?? [] }
}
