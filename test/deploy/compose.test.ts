import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DCLinter } from 'dclint'
import { parse } from 'yaml'
import { z } from 'zod'
import { composeFile } from '../../src/config/docs.ts'
import type { Setting } from '../../src/config/setting.ts'
import { settings } from '../../src/config/settings.ts'
import { readDuration } from '../../src/config/values.ts'
import { parseConfig } from '../../src/config.ts'
import { createRangeCheck, readAddressRange } from '../../src/ip-address.ts'
import { complete } from '../support/config.ts'
import { withFolder } from '../support/scopes.ts'

const ROOT = join(import.meta.dirname, '../..')
const PATH = join(ROOT, 'deploy/compose.yaml')
const text = await readFile(PATH, 'utf8')

const strings = z.array(z.string())
const service = z.object({
  image: z.string().optional(),
  profiles: strings.default([]),
  command: strings.default([]),
  entrypoint: strings.default([]),
  ports: strings.default([]),
  volumes: strings.default([]),
  secrets: strings.default([]),
  environment: z.record(z.string(), z.string()).default({}),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z.object({ test: strings }).optional(),
  networks: z.object({ default: z.object({ ipv4_address: z.string() }) }).optional(),
  stop_grace_period: z.string().optional(),
  logging: z.object({ driver: z.string(), options: z.record(z.string(), z.string()) }),
})
const compose = z
  .object({
    services: z.object({
      'r2-sync': service,
      cloudflared: service,
      postgres: service,
      bucket: service,
    }),
    networks: z.object({
      default: z.object({
        ipam: z.object({ config: z.array(z.object({ subnet: z.string(), ip_range: z.string() })) }),
      }),
    }),
    volumes: z.record(z.string(), z.null()),
    secrets: z.record(z.string(), z.object({ file: z.string() })),
  })
  .parse(parse(text))
const { 'r2-sync': sync, cloudflared, ...others } = compose.services
const services = Object.values(compose.services)

describe('the compose file', () => {
  test('follows the compose specification', () => {
    assert.deepEqual(faultsOf(PATH), [])
  })

  for (const { fault, change } of [
    { fault: 'an unknown key', change: ['stop_grace_period', 'stop_grace'] },
    { fault: 'a wrong type', change: ['cap_drop: [ALL]', 'cap_drop: ALL'] },
    { fault: 'a wrong value', change: ['condition: service_healthy', 'condition: well'] },
    { fault: 'a port given twice', change: ['"8081:8081"', '"8080:8081"'] },
  ] as const)
    test(`is checked so that ${fault} is found`, async (t) => {
      const path = join(await withFolder(t), 'compose.yaml')
      await writeFile(path, text.replace(change[0], change[1]))
      assert.notDeepEqual(faultsOf(path), [])
    })

  test('has every service tell whether it is well', () => {
    for (const [name, { healthcheck }] of Object.entries(compose.services))
      assert.ok(healthcheck, name)
    assert.deepEqual(sync.healthcheck?.test, ['CMD', 'strongroom', 'health'])
  })

  test('names every setting, its meaning and its default (node src/config/docs.ts writes them)', () => {
    assert.equal(text, composeFile(text))
    for (const [name, setting] of Object.entries<Setting>(settings)) {
      const line = new RegExp(`^ +#?${name}${setting.secret ? '_FILE' : ''}: `, 'gm')
      assert.equal(text.match(line)?.length, 1, name)
    }
  })

  test('sets what is required, and nothing that the program does not know', () => {
    const names = Object.keys(sync.environment).map((name) => name.replace(/_FILE$/, ''))
    assert.deepEqual(names.toSorted(), [...Object.keys(complete), 'TRUSTED_PROXIES'].toSorted())
  })

  test('believes the address of a visitor from the tunnel, and from no other container', () => {
    const { ipv4_address: tunnel } = cloudflared.networks?.default ?? {}
    assert.equal(sync.environment.TRUSTED_PROXIES, tunnel)
    const [pool] = compose.networks.default.ipam.config
    const [whole, others] = [pool?.subnet, pool?.ip_range].map((text) =>
      createRangeCheck([readAddressRange(text ?? '')].filter((range) => range !== null)),
    )
    assert.equal(whole?.(tunnel ?? ''), true)
    assert.equal(others?.(tunnel ?? ''), false)
  })

  test('means the same with every default spelt out', () => {
    const section = text.slice(text.indexOf('# >>>'), text.indexOf('# <<<'))
    const spelt = [...section.matchAll(/^ {6}#([A-Z_0-9]+): (".*")$/gm)].map(
      ([, name = '', value = '']): [string, string] => [name, JSON.parse(value)],
    )
    assert.ok(spelt.length > 60)
    const given = { needs: new Set(['database', 'bucket', 'tokens'] as const), readFile: () => '' }
    const config = parseConfig({ ...Object.fromEntries(spelt), ...complete }, given)
    assert.deepEqual(config, parseConfig(complete, given))
    assert.deepEqual(config.warnings, [])
  })

  test('gives each secret as a file to those that read it, and to nobody else', () => {
    const files = Object.keys(compose.secrets)
    for (const { secrets, ...rest } of services) {
      const read = JSON.stringify(rest).match(/(?<=\/run\/secrets\/)\w+/g)
      assert.deepEqual(read?.toSorted(), secrets.toSorted())
    }
    assert.deepEqual(files.toSorted(), [...new Set(services.flatMap((s) => s.secrets))].toSorted())
    for (const [name, { file }] of Object.entries(compose.secrets))
      assert.equal(file, `secrets/${name}`)
  })

  test('mounts one volume that holds archive and errors', () => {
    assert.deepEqual(sync.volumes, ['/mnt/user/media/videos:/media'])
    for (const name of ['ARCHIVE_DIR', 'ERROR_DIR'] as const)
      assert.ok(settings[name].fallback.startsWith('/media/'))
  })

  test('publishes the ports that the program listens on', () => {
    const ports = [settings.SERVER_PORT.fallback, settings.ADMIN_PORT.fallback]
    assert.deepEqual(
      sync.ports,
      ports.map((port) => `${port}:${port}`),
    )
  })

  test('waits longer for the end than the program does', () => {
    const own = readDuration(settings.SHUTDOWN_TIMEOUT.fallback) ?? Number.NaN
    assert.ok((readDuration(sync.stop_grace_period ?? '') ?? 0) >= own + 5_000)
  })

  test('opens the tunnel once files are served, over HTTP/2, and asks it whether it is ready', () => {
    assert.deepEqual(cloudflared.depends_on, { 'r2-sync': { condition: 'service_healthy' } })
    assert.match(cloudflared.command.join(' '), /^tunnel --protocol http2 --metrics \S+ run$/)
    const metrics = cloudflared.command[cloudflared.command.indexOf('--metrics') + 1]
    const ready = ['CMD', 'cloudflared', 'tunnel', '--metrics', metrics, 'ready']
    assert.deepEqual(cloudflared.healthcheck?.test, ready)
  })

  test('starts database and bucket in development only', () => {
    assert.deepEqual([sync.profiles, cloudflared.profiles], [[], []])
    for (const each of Object.values(others)) assert.deepEqual(each.profiles, ['dev'])
  })

  test('bounds the log of every service', () => {
    for (const { logging } of services) {
      assert.equal(logging.driver, 'json-file')
      assert.deepEqual(Object.keys(logging.options), ['max-size', 'max-file'])
    }
  })
})

/** By the JSON Schema of the specification, and by the linter's rules but those about order and style. */
function faultsOf(path: string): string[] {
  const rules = {
    'no-unbound-port-interfaces': 0,
    'require-quotes-in-ports': [1, { quoteType: 'double' }],
    'service-keys-order': 0,
    'services-alphabetical-order': 0,
    'top-level-properties-order': 0,
  } as const
  const linter = new DCLinter({ rules, quiet: false, debug: false, exclude: [] })
  // Its types do not resolve under nodenext.
  const [result] = z
    .tuple([z.object({ messages: z.array(z.object({ rule: z.string(), message: z.string() })) })])
    .parse(linter.lintFiles([path], false))
  return result.messages.map(({ rule, message }) => `${rule}: ${message}`)
}
