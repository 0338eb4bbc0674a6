import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCli } from '../src/cli.ts'
import type { Host } from '../src/host.ts'

/** What the program says of a command, or of itself. */
async function helpOf(command: string): Promise<string> {
  const said: string[] = []
  const host: Partial<Host> = { out: (text) => void said.push(text), version: '0.0.0' }
  assert.equal(await runCli(host as Host, [...command.split(' ').filter(Boolean), '--help']), 0)
  return said.join('')
}

/** The names that a help lists below a heading. */
function listed(help: string, heading: string, name: RegExp): string[] {
  const [, list = ''] = help.split(`\n${heading}:\n`)
  return [...list.matchAll(name)].flatMap(([, found = '']) => (found === 'help' ? [] : [found]))
}

const optionsIn = (help: string) => listed(help, 'Options', /(?:^ {2}| )--([a-z-]+)/gm)

/** All commands, those of two words behind their first one, which is one itself where it has options. */
async function commandsOf(command = ''): Promise<string[]> {
  const help = await helpOf(command)
  const names = listed(help, 'Commands', /^ {2}([a-z-]+)(?: |$)/gm)
  const isOne = command !== '' && (names.length === 0 || optionsIn(help).length > 0)
  const below = await Promise.all(names.map((name) => commandsOf(`${command} ${name}`.trim())))
  return [...(isOne ? [command] : []), ...below.flat()]
}

test('README tells of the same exit codes as the help', async () => {
  const readme = await readFile(join(import.meta.dirname, '../README.md'), 'utf8')
  const codesIn = (text: string) =>
    (/Exit codes: (.*?)\.\n/s.exec(text)?.[1] ?? assert.fail('no exit codes'))
      .replaceAll('`', '')
      .split(/;|·/)
      .map((one) => one.replaceAll(/\s+/g, ' ').trim())
  assert.deepEqual(codesIn(readme), codesIn(`${await helpOf('')}\n`))
})

test('README has a row for each command, with all of its options', async () => {
  const readme = await readFile(join(import.meta.dirname, '../README.md'), 'utf8')
  const cells = readme.split('\n').flatMap((line) => /^\| (`.*?`) \| /.exec(line)?.[1] ?? [])
  const spans = cells.flatMap((cell) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span),
  )
  const commands = await commandsOf()
  assert.ok(commands.length > 25, commands.join())
  const lacking: string[] = []
  for (const command of commands) {
    const rows = spans.filter((span) => new RegExp(`^${command}(?: [^a-z]|$)`).test(span))
    if (rows.length === 0) lacking.push(command)
    const options = optionsIn(await helpOf(command))
    for (const option of new Set(options))
      if (rows.length > 0 && !rows.some((row) => row.includes(`--${option}`)))
        lacking.push(`${command} --${option}`)
  }
  assert.deepEqual(lacking, [])
})
