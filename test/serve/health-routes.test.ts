import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAdminServer } from '../../src/serve/app.ts'
import { createHealth } from '../../src/serve/health.ts'
import { ask, captureLog, withFileServer } from '../support/file-server.ts'

test('the public health pages tell no details', async () => {
  const health = createHealth({
    checks: { database: () => Promise.reject(new Error('password of db.internal')) },
  })
  await withFileServer({ health }, async ({ ask }) => {
    const shallow = await ask('/health')
    assert.deepEqual([shallow.status, shallow.body.toString()], [200, '{"status":"ok"}\n'])
    const deep = await ask('/health/deep')
    assert.deepEqual([deep.status, deep.body.toString()], [503, '{"status":"failing"}\n'])
    for (const { headers } of [shallow, deep]) {
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['cloudflare-cdn-cache-control'], 'no-store')
    }
    assert.equal((await ask('/health', { method: 'HEAD' })).body.length, 0)
  })
})

test('the admin health page names what fails, and serves no files', async () => {
  const health = createHealth({
    checks: { database: () => Promise.reject(new Error('secret')), bucket: async () => {} },
  })
  const admin = await createAdminServer({ health, log: captureLog() }).listen(0, '127.0.0.1')
  try {
    const deep = await ask(admin.port, '/health/deep')
    assert.equal(deep.status, 503)
    const { status, checks } = JSON.parse(deep.body.toString())
    assert.equal(status, 'failing')
    assert.equal(checks.database.error, 'INTERNAL')
    assert.equal(checks.bucket.ok, true)
    assert.doesNotMatch(deep.body.toString(), /secret/)
    assert.equal((await ask(admin.port, '/health')).status, 200)
    assert.equal((await ask(admin.port, '/2026/a.mp4')).status, 404)
    assert.equal((await ask(admin.port, '/health', { method: 'POST' })).status, 405)
  } finally {
    await admin.close(0)
  }
})
