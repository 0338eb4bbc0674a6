import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { createAdminServer } from '../../src/serve/app.ts'
import { createHealth } from '../../src/serve/health.ts'
import { ask, captureLog, withFileServer } from '../support/file-server.ts'
import { promtool, sampleOf, samplesOf } from './exposition.ts'
import { fullMetrics } from './full-metrics.ts'

test('Prometheus finds nothing wrong with any of the figures', async () => {
  const { metrics } = fullMetrics()
  metrics.work.failed('bucket', 'OBJECT_DENIED')
  metrics.work.fetching(1)
  for (const point of ['downloaded', 'validated', 'published', 'recorded'] as const)
    metrics.work.reached(point, 1)
  const text = await metrics.text()
  assert.equal(promtool(['check', 'metrics'], text), '')
  for (const name of new Set(samplesOf(text).map((sample) => sample.name))) {
    const family = name.replace(/_(?:bucket|sum|count)$/, '')
    assert.ok(
      [name, family].some((help) => new RegExp(`^# HELP ${help} \\S`, 'm').test(text)),
      `${name} is explained`,
    )
  }
})

test('figures of the database, the disk and the health checks are told as they are', async () => {
  const text = await fullMetrics().metrics.text()
  const expected: [string, Record<string, string>, number | null][] = [
    ['strongroom_build_info', { version: '1.2.3' }, 1],
    ['strongroom_items', { state: 'archived' }, 7],
    ['strongroom_items', { state: 'lost' }, 0],
    ['strongroom_backlog_oldest_age_seconds', {}, 12.5],
    ['strongroom_leases', {}, 3],
    ['strongroom_release_due', {}, 4],
    ['strongroom_release_paused', {}, 1],
    ['strongroom_release_grace_seconds', {}, 86_400],
    ['strongroom_heal_paused', {}, 0],
    ['strongroom_damaged_files', {}, 1],
    ['strongroom_scrub_oldest_age_seconds', {}, 86_400],
    ['strongroom_archive_free_bytes', {}, 10],
    ['strongroom_archive_size_bytes', {}, 100],
    ['strongroom_archive_reserved_bytes', {}, 4],
    ['strongroom_archive_free_minimum_bytes', {}, 5],
    ['strongroom_clock_jumped_seconds', {}, 12.5],
    ['strongroom_run_last_success_timestamp_seconds', { kind: 'sync' }, 1_700_000_000.5],
    ['strongroom_run_last_success_timestamp_seconds', { kind: 'scrub' }, null],
    ['strongroom_health_check', { check: 'archive' }, 1],
    ['strongroom_health_check', { check: 'database' }, 0],
  ]
  for (const [name, labels, value] of expected)
    assert.equal(sampleOf(text, name, labels), value, `${name} ${JSON.stringify(labels)}`)
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'process_resident_memory_bytes'])
    assert.ok((sampleOf(text, name) ?? 0) > 0, name)
})

test('runs are counted by what was done and how it came out', async () => {
  const { metrics } = fullMetrics()
  const startedAt = new Date('2026-11-22T05:00:00Z')
  const run = { id: 1, job: 'sync', trigger: 'schedule', mode: 'live', node: 'here' } as const
  const rest = { attempts: 1, items: {}, bytes: 0, error: null }
  const ended = (status: 'partial' | 'skipped', seconds: number) => {
    const endedAt = new Date(startedAt.getTime() + seconds * 1_000)
    metrics.runs.ended?.({ ...run, ...rest, status, startedAt, endedAt })
  }
  for (const [status, seconds] of [
    ['partial', 90],
    ['partial', 60],
    ['skipped', 0],
  ] as const)
    ended(status, seconds)
  const text = await metrics.text()
  const count = (status: string) =>
    sampleOf(text, 'strongroom_runs_total', { kind: 'sync', status })
  assert.deepEqual(['partial', 'skipped', 'failed'].map(count), [2, 1, 0])
  assert.equal(sampleOf(text, 'strongroom_run_last_duration_seconds', { kind: 'sync' }), 60)
})

test('what cannot be asked now is left out and stops nothing', async () => {
  const metrics = createMetrics({ version: '1' })
  const refuse = () => Promise.reject(new Error('away'))
  metrics.addArchive({ gauges: refuse, countByState: refuse, releaseGraceMs: 0 })
  metrics.addRoom(refuse)
  const text = await metrics.text()
  for (const name of ['strongroom_items', 'strongroom_leases', 'strongroom_archive_free_bytes'])
    assert.equal(sampleOf(text, name), null, name)
  assert.equal(sampleOf(text, 'strongroom_build_info'), 1)
  assert.equal(promtool(['check', 'metrics'], text), '')
})

test('steps are timed from one point of an item to its next', async () => {
  let now = 0
  const metrics = createMetrics({ version: '1' }, () => now)
  const { work } = metrics
  work.fetching(5)
  const steps = { downloaded: 2, validated: 0.5, published: 0.25, recorded: 0.125 } as const
  for (const [point, seconds] of Object.entries(steps)) {
    now += seconds * 1_000
    work.reached(point as keyof typeof steps, 5)
  }
  work.reached('release-claimed', 5)
  now += 4_000
  work.reached('released', 5)
  const text = await metrics.text()
  const seconds = (step: string) => sampleOf(text, 'strongroom_step_duration_seconds_sum', { step })
  assert.deepEqual(
    ['download', 'validate', 'publish', 'record', 'release'].map(seconds),
    [2, 0.5, 0.25, 0.125, 4],
  )
  assert.equal(sampleOf(text, 'strongroom_sources_released_total'), 1)
})

test('downloads are counted by status, bytes as they are sent, refusals by their reason', async () => {
  const { metrics, traffic } = fullMetrics()
  const size = 64 * 2 ** 20
  await withFileServer({ traffic }, async ({ file, token, listening, log, ask }) => {
    await file('a.txt', 'twelve bytes')
    await file('film.mp4', size)
    assert.equal((await ask(`/a.txt?token=${await token()}`)).status, 200)
    await ask(`/a.txt?token=${await token()}`, { headers: { range: 'bytes=0-3' } })
    await ask(`/gone.txt?token=${await token()}`)
    await ask(`/a.txt?token=${await token(2)}`)
    await ask('/a.txt')
    await ask('/health')
    const path = `/film.mp4?token=${await token()}`
    const request = get({ port: listening.port, host: '127.0.0.1', path, agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    await once(response, 'readable')
    const during = await metrics.text()
    assert.equal(sampleOf(during, 'strongroom_downloads_active'), 1)
    assert.ok((sampleOf(during, 'strongroom_served_bytes_total') ?? 0) >= 16)
    response.on('error', () => {}).destroy()
    await log.requests(7)
    const text = await metrics.text()
    const count = (status: string) => sampleOf(text, 'strongroom_downloads_total', { status })
    assert.deepEqual(['200', '206', '401', '403', '404'].map(count), [2, 1, 1, 1, 1])
    assert.equal(sampleOf(text, 'strongroom_downloads_active'), 0)
    assert.equal(sampleOf(text, 'strongroom_downloads_cut_total'), 1)
    const failures = (reason: string) =>
      sampleOf(text, 'strongroom_token_failures_total', { reason })
    assert.deepEqual(['missing', 'another_file', 'expired'].map(failures), [1, 1, 0])
    const bytes = sampleOf(text, 'strongroom_served_bytes_total') ?? 0
    assert.ok(bytes >= 16 && bytes < size, `${bytes}`)
  })
})

test('hostile requests make no new figures', async () => {
  const { metrics, traffic } = fullMetrics()
  await withFileServer({ traffic }, async ({ ask, token, log }) => {
    const kinds = async (n: number) => {
      await ask(`/${n}?token=${await token(n + 1)}`)
      await ask(`/x?token=eyJ${n}.a.b`)
      await ask(`/x?token=${n}`, { headers: { authorization: `Bearer ${n}` } })
      await ask('/x', { method: 'POST', headers: { 'x-n': `${n}` } })
      await ask(`/${n}`, { headers: { range: `bytes=${n}`, 'cf-connecting-ip': `10.0.0.${n}` } })
      await ask(`/%zz${n}`, { headers: { host: `h${n}` } })
    }
    await kinds(0)
    const first = samplesOf(await metrics.text())
    for (let n = 1; n <= 60; n++) await kinds(n)
    await log.requests(6 * 61)
    const names = (samples: typeof first) =>
      samples
        .filter(({ name }) => name.startsWith('strongroom_'))
        .map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`)
        .toSorted()
    assert.deepEqual(names(samplesOf(await metrics.text())), names(first))
  })
})

test('the admin port shows the figures, the public one does not', async () => {
  const { metrics } = fullMetrics()
  const health = createHealth({ checks: {} })
  const log = captureLog()
  const admin = await createAdminServer({ health, log, metrics }).listen(0, '127.0.0.1')
  try {
    const answer = await ask(admin.port, '/metrics')
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(promtool(['check', 'metrics'], answer.body.toString()), '')
    assert.deepEqual(log.lines, [], 'and no scrape is logged')
  } finally {
    await admin.close(0)
  }
  await withFileServer({}, async ({ ask }) => assert.equal((await ask('/metrics')).status, 401))
})
