import type { AddressRange } from '../ip-address.ts'
import type { SettingValues } from './settings.ts'

/** The file server. */
export interface ServeConfig {
  port: number
  adminPort: number
  pathPrefix: string
  /** Sites whose pages may read answers. */
  corsOrigins: '*' | readonly string[]
  /** How a front is told which file it is to send; null when it is never told. */
  offload: { header: 'X-Accel-Redirect' | 'X-Sendfile'; prefix: string } | null
  tokens: TokenConfig | null
  /** Proxies whose CF-Connecting-IP is believed. */
  trustedProxies: AddressRange[]
  /** 0 for any number. */
  tokenFailuresPerMinute: number
  /** What one visitor, and all together, may hold at one time; 0 streams for any number. */
  limits: { maxConnections: number; streamsPerUser: number; streamsPerClient: number }
  publicUrl: string | null
}

export interface TokenConfig {
  /** The first one signs, all of them open; several at once for rotation. */
  secrets: string[]
  audience: string | null
  issuer: string | null
  /** No token may be valid for longer. */
  maxTtlSeconds: number
  /** Ids may come as text. */
  stringIds: boolean
}

export function serveConfig(values: SettingValues): ServeConfig {
  return {
    port: values.SERVER_PORT,
    adminPort: values.ADMIN_PORT,
    pathPrefix: values.SERVE_PATH_PREFIX ?? '',
    corsOrigins: values.CORS_ORIGINS ?? [],
    offload: offloadConfig(values),
    tokens: tokenConfig(values),
    trustedProxies: values.TRUSTED_PROXIES ?? [],
    tokenFailuresPerMinute: values.TOKEN_FAILURES_PER_MINUTE,
    limits: {
      maxConnections: values.MAX_CONNECTIONS,
      streamsPerUser: values.MAX_STREAMS_PER_USER,
      streamsPerClient: values.MAX_STREAMS_PER_CLIENT,
    },
    publicUrl: values.PUBLIC_URL,
  }
}

function offloadConfig(values: SettingValues): ServeConfig['offload'] {
  const { SENDFILE_HEADER: header, SENDFILE_PREFIX: prefix } = values
  return header === null ? null : { header, prefix: prefix ?? values.ARCHIVE_DIR }
}

function tokenConfig(values: SettingValues): TokenConfig | null {
  const { UNRAID_TUNNEL_SECRET: current, UNRAID_TUNNEL_SECRET_PREVIOUS: previous } = values
  if (current === null) return null
  return {
    secrets: previous === null || previous === current ? [current] : [current, previous],
    audience: values.TOKEN_AUDIENCE,
    issuer: values.TOKEN_ISSUER,
    maxTtlSeconds: values.TOKEN_MAX_TTL / 1000,
    stringIds: values.TOKEN_ALLOW_STRING_IDS,
  }
}
