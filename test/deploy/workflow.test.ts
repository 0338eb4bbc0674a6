import assert from 'node:assert/strict'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'

const ROOT = join(import.meta.dirname, '../..')

const step = z.strictObject({
  name: z.string().optional(),
  id: z.string().optional(),
  if: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.boolean()])).optional(),
})
const permissions = z.record(z.string(), z.enum(['read', 'write', 'none']))
const job = z.strictObject({
  needs: z.string().optional(),
  'runs-on': z.string(),
  'timeout-minutes': z.number(),
  container: z.strictObject({ image: z.string(), options: z.string() }).optional(),
  permissions: permissions.optional(),
  steps: z.array(step),
})
const workflow = z.strictObject({
  name: z.string(),
  on: z.object({ push: z.object({ tags: z.array(z.string()) }) }).loose(),
  permissions,
  concurrency: z.record(z.string(), z.string()),
  jobs: z.strictObject({ test: job, image: job }),
})

const { jobs, ...rest } = workflow.parse(
  parse(await readFile(join(ROOT, '.github/workflows/ci.yaml'), 'utf8')),
)
const steps = Object.values(jobs).flatMap((one) => one.steps)

describe('the GitHub workflow', () => {
  test('runs what every change must pass', async () => {
    const runs = jobs.test.steps.map(({ run = '' }) => run).join('\n')
    const [script = ''] = /^ *\.ci\/run$/m.exec(runs) ?? []
    await access(join(ROOT, script.trim()))
    assert.equal(jobs.image.needs, 'test', 'and publishes nothing that does not')
  })

  test('publishes with a bill of materials and signed provenance', () => {
    const build = steps.find(({ uses = '' }) => uses.startsWith('docker/build-push-action@'))
    assert.deepEqual([build?.with?.sbom, build?.with?.provenance], [true, 'mode=max'])
    assert.ok(steps.some(({ uses = '' }) => uses.startsWith('actions/attest-build-provenance@')))
  })

  test('may write nothing unless it publishes, and then only for a tag', () => {
    assert.deepEqual(rest.permissions, { contents: 'read' })
    assert.equal(jobs.test.permissions, undefined)
    const login = steps.find(({ uses = '' }) => uses.startsWith('docker/login-action@'))
    assert.equal(login?.if, "startsWith(github.ref, 'refs/tags/')")
  })

  test('names a version of each action, and keeps no credentials in the checkout', () => {
    for (const { uses, with: given } of steps) {
      if (uses === undefined) continue
      assert.match(uses, /^[\w-]+\/[\w-]+@(?:v\d+(?:\.\d+)*|[0-9a-f]{40})$/)
      if (uses.startsWith('actions/checkout@'))
        assert.equal(given?.['persist-credentials'], false, uses)
    }
  })
})
