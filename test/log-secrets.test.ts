import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createLog } from '../src/log.ts'

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJtZWRpYV9pZCI6N30.c2lnbmF0dXJl'

function lineOf(fields: Record<string, unknown>, secrets: string[] = []): string {
  const lines: string[] = []
  createLog({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => lines.push(line) },
    secrets,
  }).info(fields, 'm')
  return lines.join('')
}

describe('a token is masked', () => {
  for (const [where, text] of [
    ['in an address within an address within another', `/login?next=%252Fa%253Ftoken%253D${jwt}`],
    ['behind an underscore', `download_${jwt}`],
    ['right behind a letter or a digit', `x${jwt}`],
    ['with its dots encoded', jwt.replaceAll('.', '%2E')],
    ['behind more than a few blanks', `Authorization:${' '.repeat(40)}eyJtZWRpYV9pZCI6N30`],
    ['with a long header', `eyJ${'a'.repeat(4_000)}.eyJtZWRpYV9pZCI6N30.c2lnbmF0dXJl`],
    ['in JSON that is quoted in a text', `body: {"token":"abcdefgh12345678"}`],
  ] as const)
    test(where, () => {
      const line = lineOf({ text })
      assert.ok(!line.includes('eyJtZWRpYV9pZCI6N30') && !line.includes('abcdefgh12345678'), line)
    })
})

describe('a known secret is masked', () => {
  const secret = 'correct-horse-battery-staple/0123456789+ABCDEFGHIJKLMNOP='
  test('where a text is cut before it is looked through', () => {
    const line = lineOf({ text: `token=${'A'.repeat(65_490)} ${secret}` }, [secret])
    assert.ok(!line.includes('correct-horse'), line.slice(0, 300))
  })
  const quoted = 'the "secret"\\value'
  test('within JSON within a text', () => {
    const line = lineOf({ body: JSON.stringify({ named: quoted, x: 1 }) }, [quoted])
    assert.ok(!line.includes('value'), line)
  })
  test('percent-encoded with small letters, as some libraries do', () => {
    const small = encodeURIComponent(secret).replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())
    const line = lineOf({ url: `https://h/x?k=${small}` }, [secret])
    assert.ok(!line.includes('correct-horse'), line)
  })
  test('in base64, as Basic authentication sends it, in a list of headers', () => {
    const basic = Buffer.from(`u:${secret}`).toString('base64')
    const line = lineOf(
      { rawHeaders: ['Authorization', `Basic ${basic}`, 'Cookie', 'session=abcdefgh12345678'] },
      [secret],
    )
    assert.ok(!line.includes(basic) && !line.includes('abcdefgh12345678'), line)
  })
})

describe('what nobody knew beforehand is masked by its shape', () => {
  for (const [what, fields] of [
    ['credentials of the AWS SDK', { credentials: { secretAccessKey: 'hunter2hunter2' } }],
    ['a session of theirs', { credentials: { sessionToken: 'hunter2hunter2' } }],
    ['the key of an API', { headers: { 'x-api-key': 'hunter2hunter2' } }],
    ['a password with a slash in an address', { url: 'postgres://user:pa/hunter2@db/app' }],
    ['a password with an @ in an address', { url: 'postgres://user:p@hunter2@db/app' }],
    ['a password in libpq words', { dsn: 'host=db user=u password=hunter2 dbname=x' }],
  ] as const)
    test(what, () => {
      const line = lineOf(fields)
      assert.ok(!line.includes('hunter2'), line)
    })
})
