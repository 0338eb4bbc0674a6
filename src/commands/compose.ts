import { stat } from 'node:fs/promises'
import { type EffectiveSetting, effectiveConfig } from '../config/effective.ts'
import { type SettingName, settings } from '../config/settings.ts'
import type { Config } from '../config.ts'
import type { Host } from '../host.ts'

/** What a container is told of, beside the settings. */
interface Service {
  settings: readonly EffectiveSetting[]
  archive: Config['archive']
  ports: { serve: number; admin: number }
  /** `uid:gid`. */
  user: string
  stopSeconds: number
  /** Files on this machine that hold a secret already. */
  secretFiles: ReadonlyMap<string, string>
}

/** Set by the image or replaced by what follows: mounts, ports, user. */
const ELSEWHERE: readonly SettingName[] = [
  'ARCHIVE_DIR',
  'ERROR_DIR',
  'INCOMING_DIR',
  'REQUIRE_MOUNT',
  'SERVER_PORT',
  'ADMIN_PORT',
  'FFPROBE_PATH',
  'FFPROBE_SMALL_PATH',
]
/** Addresses that the container itself asks. */
const ASKED: readonly SettingName[] = ['R2_ENDPOINT', 'SECOND_ENDPOINT', 'TUNNEL_METRICS_URL']
const SHADOW = '/media/shadow'
/** Whom the image becomes, and who owns the shares of Unraid. */
const NOBODY = '99:100'

/** A compose file for the settings in effect; secrets are files in it, never values. */
export async function composeFor(host: Host, config: Config): Promise<string> {
  const { archive, serve, shutdownTimeoutMs } = config
  const effective = effectiveConfig(host.env, { readFile: host.readFile, exact: true })
  const secretFiles = effective.flatMap(({ name, source }): [string, string][] => {
    const variable = source.startsWith('alias ') ? source.slice(6) : `${name}_FILE`
    const path = source !== 'env' && variable.endsWith('_FILE') ? host.env[variable] : undefined
    // In a container it is where the secret arrives, not where it comes from.
    return path === undefined || path.startsWith('/run/secrets/') ? [] : [[name, path]]
  })
  return composeText({
    settings: effective,
    archive,
    ports: { serve: serve.port, admin: serve.adminPort },
    user: await ownerOf(archive.dir),
    stopSeconds: Math.ceil(shutdownTimeoutMs / 1000) + 10,
    secretFiles: new Map(secretFiles),
  })
}

/** Pure. */
export function composeText(service: Service): string {
  const { archive, ports, user, stopSeconds } = service
  const secrets = secretsOf(service)
  const environment = environmentOf(service)
  const usesHost = environment.some((line) => line.includes('host.docker.internal'))
  const settingOf = (wanted: SettingName) =>
    service.settings.find(({ name }) => name === wanted)?.value ?? ''
  const socket = settingOf('DB_HOST')
  const shadow = settingOf('SHADOW_DIR')
  const lines = [
    '# Made by "strongroom doctor --compose" from the settings in effect.',
    `# Each secret is a file that only ${user} can read; docker build -t strongroom . makes the image.`,
    'services:',
    '  strongroom:',
    '    image: strongroom',
    '    restart: unless-stopped',
    `    user: '${user}'`,
    '    read_only: true',
    '    cap_drop: [ALL]',
    "    security_opt: ['no-new-privileges:true']",
    `    stop_grace_period: ${stopSeconds}s`,
    '    ports:',
    `      - '${ports.serve || 8080}:8080' # files for holders of a token`,
    `      - '127.0.0.1:${ports.admin || 8081}:8081' # health, never for the tunnel`,
    '    volumes: # source is the folder on the host; it is not made, so that a missing mount shows',
    ...bind(archive.dir, '/media/archive'),
    ...bind(archive.errorDir, '/media/errors'),
    ...(shadow === '' ? [] : bind(shadow, SHADOW)),
    ...(socket.startsWith('/') ? bind(socket, socket) : []),
    ...(usesHost ? ["    extra_hosts: ['host.docker.internal:host-gateway']"] : []),
    `    secrets: [${secrets.map(({ secret }) => secret).join(', ')}]`,
    '    environment:',
    ...environment.map((line) => `      ${line}`),
    ...secrets.map(({ name, secret }) => `      ${name}_FILE: /run/secrets/${secret}`),
    'secrets:',
    ...secrets.flatMap(({ secret, file }) => [`  ${secret}:`, `    file: ${quoted(file)}`]),
  ]
  return `${lines.join('\n')}\n`
}

function isSecret(name: string): boolean {
  return 'secret' in settings[name as SettingName]
}

/** Those that are set, and the one that no file is served without. DATABASE_URL is spelt out. */
function secretsOf({ settings: all, secretFiles }: Service) {
  const wanted = all.filter(
    ({ name, source }) =>
      isSecret(name) &&
      name !== 'DATABASE_URL' &&
      (source !== 'default' || name === 'UNRAID_TUNNEL_SECRET'),
  )
  return wanted.map(({ name }) => {
    const secret = name.toLowerCase()
    return { name, secret, file: secretFiles.get(name) ?? `./secrets/${secret}` }
  })
}

function environmentOf({ settings: all }: Service): string[] {
  return all.flatMap(({ name, value, source }) => {
    const elsewhere = isSecret(name) || ELSEWHERE.some((other) => other === name)
    if (value === null || source === 'default' || elsewhere) return []
    return [`${name}: ${quoted(inContainer(name, value))}`]
  })
}

function bind(source: string, target: string): string[] {
  return [
    '      - type: bind',
    `        source: ${quoted(source)}`,
    `        target: ${quoted(target)}`,
    '        bind: { create_host_path: false }',
  ]
}

/** In a container this machine is no longer localhost, and the shadow's folder lies beside the archive. */
function inContainer(name: string, value: string): string {
  if (name === 'SHADOW_DIR') return SHADOW
  if (name === 'DB_HOST')
    return /^(?:localhost|127\.[\d.]+|::1)$/.test(value) ? 'host.docker.internal' : value
  if (!ASKED.some((other) => other === name)) return value
  return value.replace(
    /^(https?:\/\/)(?:localhost|127\.[\d.]+|\[::1\])(?=[:/]|$)/,
    '$1host.docker.internal',
  )
}

/** A YAML text; compose would take a dollar for a variable. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('$', '$$$$')
}

async function ownerOf(folder: string): Promise<string> {
  try {
    const { uid, gid } = await stat(folder)
    return uid === 0 ? NOBODY : `${uid}:${gid}`
  } catch {
    // That it is not there is a finding of its own.
    return NOBODY
  }
}
