import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { settings } from '../../src/config/settings.ts'
import { ERRORS } from '../../src/errors.ts'
import { withFolder } from '../support/scopes.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Of 10 for a service that may do everything. */
const MOST_EXPOSED = 1.5

describe('the systemd unit', () => {
  let unit = ''
  before(async () => {
    unit = await readFile(join(ROOT, 'deploy/systemd/strongroom.service'), 'utf8')
  })

  const analyzed = async (t: TestContext, text: string, ...args: string[]) => {
    const path = join(await withFolder(t), 'strongroom.service')
    await writeFile(path, text.replaceAll('/opt/strongroom', ROOT))
    const { error, status, stdout, stderr } = spawnSync(
      'systemd-analyze',
      [...args, '--no-pager', path],
      { encoding: 'utf8' },
    )
    if (error !== undefined)
      throw new Error('systemd-analyze is missing; scripts/setup installs it (package systemd)')
    return { status, said: stdout + stderr }
  }
  const values = (key: string) =>
    [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)

  test('is installed with the Node that the program needs, which comes as a package for development', () => {
    assert.doesNotMatch(unit, /omit=dev/)
  })

  test('is one that systemd takes', async (t) => {
    assert.deepEqual(await analyzed(t, unit, 'verify'), { status: 0, said: '' })
  })

  test('is checked so that a misspelt line is found', async (t) => {
    const { said } = await analyzed(t, unit.replace('ProtectHome', 'ProtectHouse'), 'verify')
    assert.match(said, /ProtectHouse/)
  })

  test('may do little besides writing to the archive', async (t) => {
    const { said } = await analyzed(t, unit, 'security', '--offline=true')
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(said) ?? []
    assert.ok(Number(exposure) <= MOST_EXPOSED, `exposure ${exposure}`)
  })

  test('gives each secret as a file that is one of our settings', () => {
    for (const line of values('Environment')) {
      const [, name = '', credential = ''] = /^(\w+)_FILE=%d\/(\w+)$/.exec(line) ?? []
      assert.equal(credential, name.toLowerCase())
      assert.ok(name in settings, name)
      assert.ok(values('LoadCredential').includes(`${credential}:/etc/strongroom/${credential}`))
    }
    assert.equal(values('Environment').length, values('LoadCredential').length)
  })

  test('does not start again what only a person can mend', () => {
    const codes = values('RestartPreventExitStatus').flatMap((line) => line.split(' ').map(Number))
    const { CONFIG_INVALID, USAGE, DB_AUTH } = ERRORS
    assert.deepEqual(codes, [USAGE.exit, DB_AUTH.exit, CONFIG_INVALID.exit])
  })
})
