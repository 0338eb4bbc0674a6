import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDoorkeeper } from '../../src/admin/doorkeeper.ts'
import { hasCode } from '../support/scopes.ts'

const token = 'the-right-token-of-32-bytes-and-more'

test('after ten wrong tokens in a minute an address is told to wait, and nobody else is', () => {
  let now = 0
  const keeper = createDoorkeeper({ token, nowMs: () => now })
  const isDenied = (client: string) =>
    assert.throws(() => keeper.admit(client, 'wrong'), hasCode('ADMIN_DENIED'))
  for (let n = 0; n < 10; n++) isDenied('192.168.1.7')
  assert.throws(() => keeper.admit('192.168.1.7', 'wrong'), hasCode('TOO_MANY_LOGINS'))
  isDenied('192.168.1.8')
  now = 60_000
  isDenied('192.168.1.7')
})

test('a script with an old token keeps nobody out who has the right one', () => {
  const keeper = createDoorkeeper({ token, nowMs: () => 0 })
  // All who come through one proxy, or Docker's gateway, have one address.
  for (let n = 0; n < 11; n++) assert.throws(() => keeper.admit('172.17.0.1', 'the-old-token'))
  keeper.admit('172.17.0.1', token)
})

test('strangers from any number of networks keep nobody out', () => {
  const keeper = createDoorkeeper({ token, nowMs: () => 0 })
  for (let n = 0; n < 20_000; n++)
    assert.throws(() => keeper.admit(`2001:db8:${n.toString(16)}::1`, 'wrong'))
  keeper.admit('192.168.1.7', token)
})
