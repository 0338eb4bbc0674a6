import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCli } from '../src/cli.ts'
import type { Host } from '../src/host.ts'

test('README has a row for each command that the help lists', async () => {
  const said: string[] = []
  const host: Partial<Host> = { out: (text) => void said.push(text), version: '0.0.0' }
  assert.equal(await runCli(host as Host, ['--help']), 0)
  const help = said.join('')
  const listed = help.slice(help.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+) /gm)
  const commands = [...listed].flatMap(([, name = '']) => (name === 'help' ? [] : [name]))
  assert.ok(commands.length > 20)
  const readme = await readFile(join(import.meta.dirname, '../README.md'), 'utf8')
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'))
  const named = (name: string) =>
    rows.some((row) => new RegExp(`\`${name}[ \`]`).test(row.split(' | ')[0] ?? ''))
  assert.deepEqual(
    commands.filter((name) => !named(name)),
    [],
  )
})
