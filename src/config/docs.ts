import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Setting, Settings } from './setting.ts'
import { settingGroups } from './settings.ts'
import { unraidTemplate } from './unraid.ts'

/** The settings as Markdown tables, one for each group. */
export function settingTables(): string {
  return settingGroups.map(([heading, group]) => `## ${heading}\n\n${table(group)}`).join('\n\n')
}

/** The whole of docs/configuration.md. */
export function configurationPage(): string {
  return `# Configuration

<!-- Generated from src/config/settings.ts by \`node src/config/docs.ts\`; do not edit. -->

Everything is set by environment variables. Each can also be given as \`NAME_FILE\`, the path of a file whose
trimmed contents are the value; that form wins, and a file that is missing or empty is an error. An empty
variable is not set. All settings are read before anything is opened; whatever is wrong is reported in one
message (exit code 78), never with the value of a secret. \`strongroom config\` shows what is in effect and
where it came from. \`strongroom --env-file FILE COMMAND\` reads them from a file (see .env.example); what is set in the
environment wins.

A column that MEDIA_COLUMN_… or AUDIT_COLUMN_… names must be there. Without the setting only id, status, object_key and
approved_at of the media table, and media_id and action of the audit table, must be.

A variable that looks like one of these but is none (\`DB_HSOT\`) is warned about, beside the one that was probably meant.

Durations are written as \`1h30m\`, \`90s\` or plain seconds; true and false may also be 1, 0, yes and no.

${settingTables()}
`
}

/** The whole of .env.example. */
export function envExample(): string {
  const groups = settingGroups.map(([heading, group]) => {
    const entries = Object.entries(group).map(([name, setting]) => envEntry(name, setting))
    return `# ---- ${heading} ----\n\n${entries.join('\n\n')}`
  })
  return `# Settings of Strongroom. Copy this file to .env and fill in what is required; the rest shows its default.
# It is read by "strongroom --env-file .env COMMAND" and by "docker run --env-file .env": a value is all that stands
# behind the "=", as it is; quotes would be part of it, and $, # and blanks need none. It is no shell script.
# Secrets are better given as files: NAME_FILE=/run/secrets/name.
# Generated from src/config/settings.ts by \`node src/config/docs.ts\`; do not edit.

${groups.join('\n\n')}
`
}

/** @param file deploy/compose.yaml; @returns it with the settings of its marked section as they are now */
export function composeFile(file: string): string {
  const groups = settingGroups.map(([heading, group]) => {
    const entries = Object.entries(group).map(([name, setting]) => composeEntry(name, setting))
    return [`# ---- ${heading} ----`, ...entries.flat()].map((line) => `      ${line}\n`).join('')
  })
  return file.replace(/(?<=# >>> .*\n)[\s\S]*(?= {6}# <<<)/, () => groups.join('\n'))
}

/** What one must give is active: its value comes from compose's own .env, or as a secret from a file. */
function composeEntry(name: string, setting: Setting): string[] {
  const required = setting.requiredFor !== undefined || name === 'DB_PASSWORD'
  const active = required || setting.compose !== undefined
  const value = required
    ? `\${${name}:?}`
    : (setting.compose ?? JSON.stringify(setting.fallback ?? ''))
  const line = setting.secret
    ? `${name}_FILE: /run/secrets/${name.toLowerCase()}`
    : `${name}: ${value}`
  return [`# ${setting.help}`, active ? line : `#${line}`]
}

function envEntry(name: string, setting: Setting): string {
  const required = setting.requiredFor !== undefined
  const lines = [`# ${setting.help}${required ? ' Required.' : ''}`]
  if (!setting.secret && setting.example !== setting.fallback) {
    lines.push(`# Example: ${withoutQuotes(setting.example)}`)
  }
  lines.push(required ? `${name}=` : `#${name}=${setting.fallback ?? ''}`)
  return lines.join('\n')
}

function table(group: Settings): string {
  const rows = Object.entries(group).map(([name, setting]) => {
    const names = [name, ...(setting.aliases ?? [])].map(code).join(' or ')
    const help = setting.secret ? `${setting.help} *Secret.*` : setting.help
    return `| ${names} | ${defaultCell(setting)} | ${cell(help)} | ${code(`${name}=${setting.example}`)} |`
  })
  return ['| Variable | Default | Meaning | Example |', '|---|---|---|---|', ...rows].join('\n')
}

function defaultCell(setting: Setting): string {
  if (setting.fallback !== undefined) return code(setting.fallback)
  return setting.requiredFor === undefined ? 'not set' : '**required**'
}

function code(text: string): string {
  return `\`${cell(text)}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function withoutQuotes(example: string): string {
  return example.replace(/^(['"])(.*)\1$/, '$2')
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..')
  writeFileSync(join(root, 'docs/configuration.md'), configurationPage())
  writeFileSync(join(root, '.env.example'), envExample())
  writeFileSync(join(root, 'deploy/unraid/strongroom.xml'), unraidTemplate())
  const compose = join(root, 'deploy/compose.yaml')
  writeFileSync(compose, composeFile(readFileSync(compose, 'utf8')))
}
