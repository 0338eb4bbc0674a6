import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readAddressRange } from '../../src/ip-address.ts'
import { DOCTOR_HEADER, doctorPathOf, readEcho } from '../../src/serve/doctor-echo.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'

const nonce = '0123456789abcdef0123456789abcdef'
const path = doctorPathOf('0123456789abcdef')

async function echoOf(
  scope: ServerScope,
  headers: Record<string, string>,
  { file = path, method = 'GET' } = {},
): Promise<string | undefined> {
  const target = `/${file}?token=${await scope.token()}`
  const answer = await scope.ask(target, { method, headers })
  assert.equal(answer.status, 200)
  const echo = answer.headers[DOCTOR_HEADER.toLowerCase()]
  return echo === undefined ? undefined : String(echo)
}

describe('the file server tells doctor how a request arrived', () => {
  const ask = { [DOCTOR_HEADER]: nonce }
  const named = { ...ask, 'CF-Connecting-IP': '2001:DB8::7' }

  for (const [who, trusted, headers, says] of [
    ['nobody named the visitor', '127.0.0.1', ask, 'unnamed 127.0.0.1'],
    ['a trusted proxy named it', '127.0.0.0/8', named, 'named 2001:db8::7'],
    ['a proxy that is not trusted named it', '10.0.0.0/8', named, 'untrusted 127.0.0.1'],
    [
      'a trusted proxy named what is no address',
      '127.0.0.1',
      { ...ask, 'CF-Connecting-IP': 'me' },
      'unnamed 127.0.0.1',
    ],
  ] as const) {
    test(`when ${who}`, async () => {
      const range = readAddressRange(trusted)
      assert.ok(range)
      await withFileServer({ rules: { trustedProxies: [range] } }, async (scope) => {
        await scope.file(path, 'bytes')
        assert.equal(await echoOf(scope, headers), `${nonce} GET ${says}`)
        assert.equal(await echoOf(scope, headers, { method: 'HEAD' }), `${nonce} HEAD ${says}`)
      })
    })
  }

  test('but not who brings no nonce, and nobody about another file', async () => {
    await withFileServer({}, async (scope) => {
      await scope.file(path, 'bytes')
      await scope.file('2026/film.mp4', 'bytes')
      await scope.file(`2026/${path}`, 'bytes')
      assert.equal(await echoOf(scope, {}), undefined)
      for (const wrong of ['', 'x', `${nonce}0`, `${nonce} GET named 1.2.3.4`])
        assert.equal(await echoOf(scope, { [DOCTOR_HEADER]: wrong }), undefined, wrong)
      for (const file of ['2026/film.mp4', `2026/${path}`])
        assert.equal(await echoOf(scope, ask, { file }), undefined, file)
    })
  })
})

test('what no file server of ours sends is no echo', () => {
  assert.deepEqual(readEcho(`${nonce} GET named 192.0.2.1`), {
    nonce,
    method: 'GET',
    origin: 'named',
    address: '192.0.2.1',
  })
  for (const text of [undefined, '', nonce, `${nonce} GET somehow 192.0.2.1`, 'x GET named y'])
    assert.equal(readEcho(text), null)
})
