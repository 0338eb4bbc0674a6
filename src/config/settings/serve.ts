import type { Settings } from '../setting.ts'
import * as read from '../values.ts'
import { upToTenYears } from './durations.ts'

export const serveSettings = {
  SERVER_PORT: {
    fallback: '8080',
    reader: read.port,
    help: 'Port of the file server, the only one the tunnel needs to reach; 0 takes a free one.',
    example: '8080',
  },
  ADMIN_PORT: {
    fallback: '8081',
    reader: read.port,
    help: 'Port of /health and /health/deep with their details and of /metrics for Prometheus, for your own network; 0 takes a free one.',
    example: '8081',
  },
  SERVE_PATH_PREFIX: {
    reader: read.pathPrefix,
    help: 'Path that is stripped from requests first, for backends that build such URLs.',
    example: '/archive',
  },
  CORS_ORIGINS: {
    reader: read.origins,
    help: 'Sites whose pages may read files and errors by script or in a player with crossorigin, separated by commas, or * for all. With any of them set, players without crossorigin may show files everywhere (still only with a token); without, only on the same site, and Chromium takes an IP address with another port for another site.',
    example: 'https://app.example.org,https://www.example.org',
  },
  PUBLIC_URL: {
    reader: read.publicUrl,
    help: 'Where the file server is reached from outside; minted links begin with it.',
    example: 'https://media.example.org',
  },
  UNRAID_TUNNEL_SECRET: {
    requiredFor: 'tokens',
    secret: true,
    reader: read.secretText,
    help: 'The key that signs and opens tokens (HS256), shared with the backend: at least 32 bytes.',
    example: '"$(openssl rand -hex 32)"',
  },
  UNRAID_TUNNEL_SECRET_PREVIOUS: {
    secret: true,
    reader: read.secretText,
    help: 'The key before that, still accepted while tokens signed with it are in use.',
    example: '"$(cat old-tunnel-secret)"',
  },
  ALLOW_SHORT_SECRET: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True accepts a token secret of fewer than 32 bytes, which can be guessed from one token; each start warns of it.',
    example: 'true',
  },
  MAX_CONNECTIONS: {
    fallback: '1024',
    reader: read.wholeNumber(16, 100_000),
    help: 'Connections to the file server at one time, 16 to 100000; when one more comes, the one that was idle longest is closed for it.',
    example: '4096',
  },
  MAX_STREAMS_PER_USER: {
    fallback: '8',
    reader: read.wholeNumber(0, 100_000),
    help: 'Files that one user_id may receive at one time; up to 16 parallel requests with one token count as one, answers of up to 64 KiB not at all. What is over waits 4 seconds for its turn and then gets 429. 0 sets no limit.',
    example: '4',
  },
  MAX_STREAMS_PER_CLIENT: {
    fallback: '32',
    reader: read.wholeNumber(0, 100_000),
    help: 'The same for one address, whoever its users are; a tunnel that TRUSTED_PROXIES does not name is one address.',
    example: '64',
  },
  TOKEN_MAX_TTL: {
    fallback: '168h',
    reader: read.duration(upToTenYears),
    help: 'A token that is valid for longer, from now or from its iat, is refused.',
    example: '24h',
  },
  TOKEN_ALLOW_STRING_IDS: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True accepts media_id and user_id written as text, for backends that cannot send numbers.',
    example: 'true',
  },
  TOKEN_AUDIENCE: {
    reader: read.text,
    help: 'If set, a token must carry it as aud.',
    example: 'strongroom',
  },
  TOKEN_ISSUER: {
    reader: read.text,
    help: 'If set, a token must carry it as iss.',
    example: 'backend',
  },
  TOKEN_FAILURES_PER_MINUTE: {
    fallback: '60',
    reader: read.wholeNumber(0, 1_000_000),
    help: 'Requests without a valid token that a client may send in a minute before it gets 429; valid tokens of the same client go on working. 0 sets no limit.',
    example: '20',
  },
  TRUSTED_PROXIES: {
    reader: read.addressRanges,
    help: 'Addresses or ranges of the proxies (cloudflared) whose CF-Connecting-IP is believed; from all others it is ignored, and who comes through them counts as one client. A proxy that is listed must set the header itself.',
    example: '127.0.0.1,::1,172.18.0.2',
    compose: '172.30.83.2',
  },
  SENDFILE_HEADER: {
    reader: read.oneOf('X-Accel-Redirect', 'X-Sendfile'),
    help: 'X-Accel-Redirect lets nginx, X-Sendfile another front, send the files that it asks for with X-Sendfile-Type; it must be in TRUSTED_PROXIES. Who sends does not count: MAX_STREAMS_… do not hold for these files.',
    example: 'X-Accel-Redirect',
  },
  SENDFILE_PREFIX: {
    reader: read.folder,
    help: 'Where the front has the archive: with X-Accel-Redirect its internal location, with X-Sendfile the folder as it sees it, ARCHIVE_DIR if not set.',
    example: '/strongroom-archive/',
  },
} as const satisfies Settings
