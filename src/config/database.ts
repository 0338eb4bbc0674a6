import type { SettingValues } from './settings.ts'

export interface DatabaseConfig {
  host: string
  port: number
  database: string
  user: string
  password: string | null
  ssl: 'disable' | 'prefer' | 'require' | 'verify-full'
  /** Behind pgbouncer in transaction mode: no prepared statements, no start-up parameters. */
  pooler: boolean
}

/** @returns null when a setting of it is missing */
export function databaseConfig(values: SettingValues): DatabaseConfig | null {
  const { DB_HOST: host, DB_NAME: database, DB_USER: user } = values
  if (host === null || database === null || user === null) return null
  return {
    host,
    port: values.DB_PORT,
    database,
    user,
    password: values.DB_PASSWORD,
    ssl: values.DB_SSLMODE,
    pooler: values.DB_POOLER,
  }
}
