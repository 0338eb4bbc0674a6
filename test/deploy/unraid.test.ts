import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import type { Setting } from '../../src/config/setting.ts'
import { settings } from '../../src/config/settings.ts'
import { parseConfig } from '../../src/config.ts'
import { complete } from '../support/config.ts'

const PATH = join(import.meta.dirname, '../../deploy/unraid/strongroom.xml')

/** Another language's parser, because ours only writes XML. */
const reader = `
import json, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
children = [{'tag': c.tag, 'text': c.text or '', 'attributes': c.attrib} for c in root]
print(json.dumps({'tag': root.tag, 'attributes': root.attrib, 'children': children}))`

const element = z.object({
  tag: z.string(),
  text: z.string(),
  attributes: z.record(z.string(), z.string()),
})
const template = z
  .object({
    tag: z.string(),
    attributes: z.record(z.string(), z.string()),
    children: z.array(element),
  })
  .parse(JSON.parse(execFileSync('python3', ['-c', reader, PATH], { encoding: 'utf8' })))

/**
 * The elements and attributes that are published: Community Apps, "XML Field Reference", and Unraid's "Docker Template
 * XML Schema" for the attributes of Config.
 */
const known = [
  ...['Name', 'Repository', 'Registry', 'Network', 'Shell', 'Privileged', 'Support', 'Project'],
  ...['Overview', 'Category', 'WebUI', 'TemplateURL', 'Icon', 'ExtraParams', 'Config'],
]
const expected = ['Name', 'Repository', 'Category', 'Icon', 'Overview', 'Project', 'Support']
const attribute = z.strictObject({
  Name: z.string().min(1),
  Target: z.string().min(1),
  Default: z.string(),
  Mode: z.enum(['', 'rw', 'tcp']),
  Description: z.string().min(10),
  Type: z.enum(['Path', 'Port', 'Variable']),
  Display: z.enum(['always', 'advanced']),
  Required: z.enum(['true', 'false']),
  Mask: z.enum(['true', 'false']),
})

describe('the template for Unraid', () => {
  const configs = template.children
    .filter(({ tag }) => tag === 'Config')
    .map(({ attributes, text }) => ({ ...attribute.parse(attributes), text }))
  const variables = new Map(
    configs.filter(({ Type }) => Type === 'Variable').map((one) => [one.Target, one]),
  )

  test('has the elements that are published, those that are expected, and each but Config once', () => {
    assert.equal(template.tag, 'Container')
    assert.deepEqual(template.attributes, { version: '2' })
    const tags = template.children.map(({ tag }) => tag)
    assert.deepEqual(
      tags.filter((tag) => !known.includes(tag)),
      [],
    )
    for (const tag of [...expected, 'TemplateURL'])
      assert.equal(tags.filter((one) => one === tag).length, 1, tag)
    assert.equal(new Set(configs.map(({ Name }) => Name)).size, configs.length)
  })

  test('shows every setting but those that the image or Unraid sets, secrets masked', () => {
    const elsewhere = ['ADMIN_PORT', 'INCOMING_DIR', 'REQUIRE_MOUNT', 'SERVER_PORT', 'TZ']
    for (const [name, setting] of Object.entries<Setting>(settings)) {
      const field = variables.get(name)
      assert.equal(field === undefined, elsewhere.includes(name), name)
      if (field === undefined) continue
      assert.equal(field.Mask, String(setting.secret === true), name)
      assert.equal(field.Required, String(setting.requiredFor !== undefined), name)
      if (field.Required === 'true') assert.equal(field.Display, 'always', name)
      if (setting.secret) assert.deepEqual([field.Default, field.text], ['', ''], name)
    }
    assert.equal(variables.size, Object.keys(settings).length - elsewhere.length)
  })

  test('filled in where it is required and otherwise left as it is, it is a right configuration', () => {
    const env = Object.fromEntries(
      [...variables.values()].map(({ Target, Default }) => [Target, Default]),
    )
    const config = parseConfig(
      { ...env, ...complete },
      {
        needs: new Set(['database', 'bucket', 'tokens']),
        readFile: () => assert.fail('it names no file'),
        shadow: true,
      },
    )
    assert.deepEqual(config.warnings, [])
    const place = configs.find(({ Type }) => Type === 'Path')
    for (const folder of [config.archive.dir, config.archive.errorDir])
      assert.ok(folder.startsWith(`${place?.Target}/`), folder)
    assert.deepEqual(
      configs.filter(({ Type }) => Type === 'Port').map(({ Target }) => Number(Target)),
      [config.serve.port, config.serve.adminPort],
    )
  })

  test('has no default that Unraid would take for a list to choose from', () => {
    for (const { Name, Default } of configs) assert.ok(!Default.includes('|'), Name)
  })
})
