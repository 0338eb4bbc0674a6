import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../src/errors.ts'
import { createLog, type Log, type LogOptions } from '../src/log.ts'

const secret = 'the "secret"\\value'

function linesOf(write: (log: Log) => void, options: Partial<LogOptions> = {}): string[] {
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  write(createLog({ level: 'debug', format: 'json', destination, secrets: [secret], ...options }))
  return lines
}

/** The one JSON line that logging these fields gives, without its time. */
function logged(fields: Record<string, unknown>, message = 'message') {
  const [line = '', ...more] = linesOf((log) => log.info(fields, message))
  assert.equal(more.length, 0)
  const { time, ...rest } = JSON.parse(line)
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  return rest
}

function textOf(fields: Record<string, unknown>, message: string): string {
  const [line = ''] = linesOf((log) => log.warn(fields, message), { format: 'text' })
  assert.match(line, /^\S+Z WARN {2}.*\n$/)
  return line.slice(line.indexOf('WARN') + 6, -1)
}

describe('a line', () => {
  test('is one JSON object with level, time, fields and message', () => {
    assert.deepEqual(logged({ item: 7, path: 'a/b', when: new Date(0), big: 1n, none: null }), {
      level: 'info',
      item: 7,
      path: 'a/b',
      when: '1970-01-01T00:00:00.000Z',
      big: '1',
      none: null,
      message: 'message',
    })
  })

  test('is written only from its level on', () => {
    const all = (log: Log) => {
      for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]({}, level)
    }
    assert.equal(linesOf(all, { level: 'debug' }).length, 4)
    assert.equal(linesOf(all, { level: 'warn' }).length, 2)
    assert.equal(linesOf(all, { level: 'error' }).length, 1)
  })

  test('is in the file when the call returns', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'strongroom-log-'))
    const path = join(folder, 'log')
    const fd = openSync(path, 'w')
    t.after(() => {
      closeSync(fd)
      rmSync(folder, { recursive: true })
    })
    const log = createLog({ level: 'info', format: 'json', destination: fd, secrets: [] })
    log.info({}, 'first')
    log.info({}, 'second')
    const lines = readFileSync(path, 'utf8').trim().split('\n')
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).message),
      ['first', 'second'],
    )
  })

  test('keeps its own level, time and message when a field has such a name', () => {
    const line = logged({ level: 'x', time: 'y', message: 'z' })
    assert.deepEqual(line, {
      level: 'info',
      level_: 'x',
      time_: 'y',
      message_: 'z',
      message: 'message',
    })
  })

  test('is lost without harm when the destination is gone', () => {
    const destination = {
      write: () => {
        throw new Error('EPIPE')
      },
    }
    linesOf((log) => log.error({}, 'unheard'), { destination })
  })

  test('survives fields that cannot be read', () => {
    const proxy = new Proxy({}, { ownKeys: () => assert.fail('trap') })
    const getter = Object.defineProperty({}, 'x', { enumerable: true, get: () => assert.fail() })
    assert.equal(logged({ proxy }).fields, '[unreadable]')
    assert.deepEqual(logged({ getter }).getter, { x: '[unreadable]' })
  })

  test('stays bounded and ends where fields lead back to themselves', () => {
    const loop: Record<string, unknown> = { name: 'loop' }
    loop.self = loop
    assert.deepEqual(logged({ loop }).loop, { name: 'loop', self: '[circular]' })
    const line = logged({
      long: 'x'.repeat(100_000),
      many: Array.from({ length: 10_000 }, (_, index) => index),
      bytes: Buffer.alloc(5),
      map: new Map([['a', 1]]),
    })
    assert.ok(line.long.length < 9000 && line.long.endsWith('… (100000 characters)'))
    assert.equal(line.many.length, 100)
    assert.equal(line.bytes, '[5 bytes]')
    assert.deepEqual(line.map, { a: 1 })
  })
})

describe('a secret', () => {
  const hidden: [where: string, fields: Record<string, unknown>, message?: string][] = [
    ['in the message', {}, `before ${secret} after`],
    ['in a field', { text: `x${secret}y` }],
    ['in a nested field', { a: [{ b: { c: secret } }] }],
    ['in a field name', { [`key ${secret}`]: 1 }],
    ['in an error', { error: new AppError('DB_AUTH', `no ${secret}`, { hint: secret }) }],
    ['in a cause', { error: new AppError('DB_AUTH', 'no', { cause: new Error(secret) }) }],
    ['in a stack', { error: new Error(secret) }],
    ['in an aggregate', { error: new AggregateError([new Error(secret)], 'all') }],
    ['in a set', { set: new Set([secret]) }],
  ]
  for (const [where, fields, message] of hidden) {
    for (const format of ['json', 'text'] as const) {
      test(`is masked ${where} (${format})`, () => {
        const [line = ''] = linesOf((log) => log.error(fields, message ?? 'message'), { format })
        assert.ok(line.includes('[secret]'), line)
        assert.ok(!line.includes('\\value'), line)
        assert.ok(!line.includes('the \\"secret'), line)
      })
    }
  }

  const patterns: [text: string, shown: string][] = [
    ['GET /a.mp4?token=abc.def&x=1', 'GET /a.mp4?token=[secret]&x=1'],
    ['/a?x=1&Token=abc#f', '/a?x=1&Token=[secret]#f'],
    ['next=%2Fa%3Ftoken%3Dabc', 'next=%2Fa%3Ftoken%3D[secret]'],
    ['Authorization: Bearer abc.def', 'Authorization: [secret]'],
    ['authorization=Basic dXNlcg==', 'authorization=[secret]'],
    ['sent Bearer abc-def', 'sent Bearer [secret]'],
    ['jwt eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln end', 'jwt [secret] end'],
    ['postgres://user:pass@db/app', 'postgres://[secret]@db/app'],
    ['https://b/k?X-Amz-Signature=00ff&a=b', 'https://b/k?X-Amz-Signature=[secret]&a=b'],
    ['a token of thanks to a@b.c', 'a token of thanks to a@b.c'],
  ]
  for (const [text, shown] of patterns) {
    test(`is masked by its shape: ${shown}`, () => {
      assert.equal(logged({ text }).text, shown)
      assert.equal(logged({}, text).message, shown)
      assert.equal(logged({ url: { nested: [text] } }).url.nested[0], shown)
    })
  }

  for (const key of [
    'Authorization',
    'authorization',
    'cookie',
    'set-cookie',
    'token',
    'password',
    'secretKey',
  ]) {
    test(`is masked by the name of its field: ${key}`, () => {
      assert.equal(logged({ headers: { [key]: 'short' } }).headers[key], '[secret]')
    })
  }

  test('never appears, whatever is logged around it', () => {
    const canary = 'cAnArY-"\\\n\u00e9'
    fc.assert(
      fc.property(
        fc.object({ values: [fc.string(), fc.constant(canary)] }),
        fc.string(),
        (fields, text) => {
          for (const format of ['json', 'text'] as const) {
            const lines = linesOf((log) => log.info({ fields, [canary]: canary }, text + canary), {
              format,
              secrets: [canary],
            })
            assert.equal(lines.length, 1)
            assert.ok(!lines[0]?.includes('cAnArY'), lines[0])
            assert.equal(lines[0]?.indexOf('\n'), (lines[0]?.length ?? 0) - 1)
            if (format === 'json') JSON.parse(lines[0] ?? '')
          }
        },
      ),
    )
  })
})

describe('an error', () => {
  test('that is expected has code, message, hint and causes, and no stack', () => {
    const native = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const middle = new AppError('DB_UNAVAILABLE', 'the database is away', { cause: native })
    const error = new AppError('CANCELLED', 'stopped', { cause: middle, hint: 'start it' })
    assert.deepEqual(logged({ error }).error, {
      code: 'CANCELLED',
      message: 'stopped',
      hint: 'start it',
      causes: [
        { code: 'DB_UNAVAILABLE', message: 'the database is away' },
        { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' },
      ],
    })
  })

  test('that is a bug has its stack, and that of its cause', () => {
    const bug = new TypeError('x is undefined')
    assert.match(logged({ error: bug }).error.stack, /log\.test\.ts/)
    const { error } = logged({ error: new AppError('INTERNAL', 'internal error', { cause: bug }) })
    assert.match(error.stack, /log\.test\.ts/)
    assert.match(error.causes[0].stack, /^TypeError: x is undefined/)
    assert.equal(error.causes[0].code, 'TypeError')
  })

  test('with an endless chain of causes is cut', () => {
    const first = new Error('first')
    first.cause = new Error('second', { cause: first })
    assert.equal(logged({ error: first }).error.causes.length, 1)
    let chain: unknown = 'end'
    for (let depth = 0; depth < 20; depth += 1) chain = new Error(`e${depth}`, { cause: chain })
    assert.equal(logged({ error: chain }).error.causes.length, 5)
  })
})

describe('text for people', () => {
  test('has fields after the message, nested ones by their path', () => {
    const error = new AppError('DISK_FULL', 'no space', { hint: 'make room' })
    assert.equal(
      textOf({ item: 7, name: 'a b', list: [1, 2], none: null, error }, 'it stays'),
      'it stays item=7 name="a b" list=[1,2] error.code=DISK_FULL error.message="no space" error.hint="make room"',
    )
  })

  test('cannot be forged by control characters', () => {
    assert.equal(
      textOf({ name: 'a\u001b[31m\u009b\u202e\n' }, 'x\nERROR y'),
      'x\\u000aERROR y name="a\\u001b[31m\\u009b\\u202e\\n"',
    )
  })
})
