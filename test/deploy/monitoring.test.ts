import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { promtool, samplesOf } from '../metrics/exposition.ts'
import { fullMetrics } from '../metrics/full-metrics.ts'
import { withFolder } from '../support/scopes.ts'

const ROOT = join(import.meta.dirname, '../..')
const RULES = join(ROOT, 'deploy/prometheus/strongroom.rules.yaml')
const DASHBOARD = join(ROOT, 'deploy/grafana/strongroom.json')

const alert = z.strictObject({
  alert: z.string().regex(/^Strongroom[A-Z]\w+$/),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({ summary: z.string(), action: z.string() }),
})
const rules = z
  .strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(alert) })) })
  .parse(parse(await readFile(RULES, 'utf8')))
const alerts = rules.groups.flatMap((group) => group.rules)

const panel = z
  .object({
    id: z.number(),
    title: z.string().min(1),
    description: z.string().min(10),
    gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
    fieldConfig: z.object({ defaults: z.object({ unit: z.string() }).loose() }).loose(),
    targets: z.array(z.object({ expr: z.string(), refId: z.string(), legendFormat: z.string() })),
  })
  .loose()
const dashboard = z
  .object({ uid: z.string(), panels: z.array(panel) })
  .loose()
  .parse(JSON.parse(await readFile(DASHBOARD, 'utf8')))

/** The figures that an expression asks for; Prometheus itself makes `up`. */
function namesIn(expression: string): string[] {
  return expression.match(/\b(?:strongroom|nodejs|process)_\w+/g) ?? []
}

/** What we tell, by name, with the labels that each has and their values. */
async function figures(): Promise<Map<string, Map<string, Set<string>>>> {
  const { metrics, traffic } = fullMetrics()
  metrics.runs.ended?.({
    ...{ id: 1, job: 'sync', trigger: 'schedule', mode: 'live', node: 'n', status: 'success' },
    ...{
      startedAt: new Date(),
      endedAt: new Date(),
      attempts: 1,
      items: {},
      bytes: 0,
      error: null,
    },
  })
  metrics.work.fetching(1)
  metrics.work.reached('downloaded', 1)
  for (const reason of ['signature', 'malformed', 'header']) traffic.refused.set(reason, 1)
  const found = new Map<string, Map<string, Set<string>>>()
  for (const { name, labels } of samplesOf(await metrics.text())) {
    const known = found.get(name) ?? new Map<string, Set<string>>()
    found.set(name, known)
    for (const [label, value] of Object.entries(labels))
      known.set(label, (known.get(label) ?? new Set()).add(value))
  }
  return found
}

describe('the alarms for Prometheus', () => {
  test('are rules that it takes', () => {
    assert.match(promtool(['check', 'rules', RULES]), new RegExp(`SUCCESS: ${alerts.length} rules`))
  })

  test('are raised when they should be, and only then', () => {
    const tests = join(import.meta.dirname, 'strongroom.rules.test.yaml')
    assert.match(promtool(['test', 'rules', tests]), /SUCCESS/)
  })

  test('ask for figures, labels and values that there are', async () => {
    const known = await figures()
    for (const { alert: name, expr } of alerts) {
      for (const figure of namesIn(expr)) assert.ok(known.has(figure), `${name}: ${figure}`)
      for (const [, figure = '', selector = ''] of expr.matchAll(/(strongroom_\w+)\{([^}]*)\}/g))
        for (const [, label = '', value = ''] of selector.matchAll(/(\w+)=~?"([^"]*)"/g)) {
          const values = known.get(figure)?.get(label)
          for (const one of value.split('|'))
            assert.ok(
              [...(values ?? [])].some((it) => new RegExp(`^${one}$`).test(it)),
              `${name}: ${label}=${one}`,
            )
        }
    }
  })

  test('are explained one by one in docs/operations.md', async () => {
    const page = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
    for (const { alert: name } of alerts) assert.ok(page.includes(`\`${name}\``), name)
    for (const [, name = ''] of page.matchAll(/`(Strongroom[A-Z]\w+)`/g))
      assert.ok(
        alerts.some(({ alert: known }) => known === name),
        name,
      )
  })
})

describe('the dashboard for Grafana', () => {
  test('shows nothing but figures that there are', async () => {
    const known = await figures()
    for (const { title, targets } of dashboard.panels)
      for (const { expr } of targets)
        for (const figure of namesIn(expr)) assert.ok(known.has(figure), `${title}: ${figure}`)
  })

  test('shows every figure of ours', async () => {
    const shown = new Set(
      dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr))),
    )
    const text = await readFile(DASHBOARD, 'utf8')
    const untold = [
      'strongroom_build_info',
      'strongroom_database_reading_age_seconds',
      'strongroom_heal_paused',
      'strongroom_release_grace_seconds',
      'strongroom_run_last_duration_seconds',
    ]
    for (const figure of (await figures()).keys()) {
      if (!figure.startsWith('strongroom_') || untold.includes(figure)) continue
      if (/_(?:sum|count)$/.test(figure)) continue
      assert.ok(shown.has(figure), figure)
    }
    assert.ok(text.includes('label_values(strongroom_build_info'))
  })

  test('has panels that do not overlap, with expressions that Prometheus understands', async (t) => {
    const ids = dashboard.panels.map(({ id }) => id)
    assert.equal(new Set(ids).size, ids.length)
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    )
    assert.equal(new Set(cells).size, cells.length)
    const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
    const groups = expressions.map((expr, n) => ({
      name: `g${n}`,
      rules: [{ record: `r${n}`, expr }],
    }))
    const path = join(await withFolder(t), 'rules.yaml')
    await writeFile(path, JSON.stringify({ groups }))
    assert.match(promtool(['check', 'rules', path]), /SUCCESS/)
  })
})
