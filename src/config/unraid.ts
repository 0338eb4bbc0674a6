import type { Setting } from './setting.ts'
import { settingGroups } from './settings.ts'

/** Set by the image, by Unraid itself, or fixed because a port of the container is mapped. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'ADMIN_PORT',
  'INCOMING_DIR',
  'REQUIRE_MOUNT',
  'SERVER_PORT',
  'TZ',
])
/** What most people set, besides what is required. */
const SHOWN: ReadonlySet<string> = new Set([
  'DB_PASSWORD',
  'MODE',
  'PUBLIC_URL',
  'RELEASE_GRACE',
  'SYNC_INTERVAL',
])

/** One field of Unraid's form; see its "Docker Template XML Schema". */
interface Field {
  name: string
  target: string
  fallback?: string
  mode?: string
  description: string
  type: 'Path' | 'Port' | 'Variable'
  display: 'always' | 'advanced'
  required: boolean
  mask?: boolean
}

/** The whole of deploy/unraid/strongroom.xml, a template for Unraid's Community Applications. */
export function unraidTemplate(): string {
  const variables = settingGroups.flatMap(([, group]) =>
    Object.entries(group)
      .filter(([name]) => !ELSEWHERE.has(name))
      .map(([name, setting]) => variableOf(name, setting)),
  )
  const fields = [...places, ...variables].map((field) => `  ${config(field)}\n`).join('')
  return `<?xml version="1.0"?>
<!-- Generated from src/config/settings.ts by node src/config/docs.ts; do not edit. OWNER is who published the image. -->
<Container version="2">
  <Name>strongroom</Name>
  <Repository>ghcr.io/OWNER/strongroom:latest</Repository>
  <Registry>https://github.com/OWNER/strongroom/pkgs/container/strongroom</Registry>
  <Network>bridge</Network>
  <Shell>sh</Shell>
  <Privileged>false</Privileged>
  <Support>https://github.com/OWNER/strongroom/issues</Support>
  <Project>https://github.com/OWNER/strongroom</Project>
  <Overview>Moves approved media out of rented object storage (Cloudflare R2 or any S3-compatible store) into an archive on your own disks, proves every copy, and hands files back only to holders of a valid token. Needs the PostgreSQL database of your backend. Only port 8080 belongs behind a tunnel; 8081 is for your own network.</Overview>
  <Category>Backup: Cloud: MediaServer:Other Tools:Utilities</Category>
  <WebUI>http://[IP]:[PORT:8081]/</WebUI>
  <TemplateURL>https://raw.githubusercontent.com/OWNER/strongroom/main/deploy/unraid/strongroom.xml</TemplateURL>
  <Icon>https://raw.githubusercontent.com/OWNER/strongroom/main/deploy/unraid/icon.png</Icon>
  <ExtraParams>--user 99:100 --read-only --cap-drop=ALL --security-opt=no-new-privileges:true --stop-timeout=40 --restart=unless-stopped</ExtraParams>
${fields}</Container>
`
}

const places: readonly Field[] = [
  {
    name: 'Archive',
    target: '/media',
    fallback: '/mnt/user/media/videos',
    mode: 'rw',
    description:
      'The share that holds the archive (folder archive) and rejected files (folder errors); both folders must exist and belong to 99:100.',
    type: 'Path',
    display: 'always',
    required: true,
  },
  {
    name: 'File server',
    target: '8080',
    fallback: '8080',
    mode: 'tcp',
    description: 'Files for holders of a token; the only port that a tunnel needs to reach.',
    type: 'Port',
    display: 'always',
    required: true,
  },
  {
    name: 'Admin server',
    target: '8081',
    fallback: '8081',
    mode: 'tcp',
    description: 'Health and figures, for your own network only.',
    type: 'Port',
    display: 'always',
    required: true,
  },
]

function variableOf(name: string, setting: Setting): Field {
  const required = setting.requiredFor !== undefined
  return {
    name,
    target: name,
    ...(setting.secret || setting.fallback === undefined ? {} : { fallback: setting.fallback }),
    description: setting.help,
    type: 'Variable',
    display: required || SHOWN.has(name) ? 'always' : 'advanced',
    required,
    mask: setting.secret === true,
  }
}

/** On one line and without spaces to spare, as Unraid itself writes it: other forms were refused by its parsers. */
function config(field: Field): string {
  const { name, target, fallback = '', mode = '', description, type } = field
  const attributes = {
    Name: name,
    Target: target,
    Default: fallback,
    Mode: mode,
    Description: description,
    Type: type,
    Display: field.display,
    Required: String(field.required),
    Mask: String(field.mask === true),
  }
  const written = Object.entries(attributes).map(([key, value]) => `${key}="${escaped(value)}"`)
  return `<Config ${written.join(' ')}>${escaped(fallback)}</Config>`
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
