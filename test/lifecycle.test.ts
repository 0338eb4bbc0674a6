import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import { createStopStack, superviseSignals } from '../src/lifecycle.ts'
import { createLog } from '../src/log.ts'

function capture() {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) }
  const log = createLog({ level: 'debug', format: 'json', destination, secrets: [] })
  return { log, lines, errors: () => lines.filter((line) => line.level === 'error') }
}

const never = () => new Promise<never>(() => {})

describe('the stop stack', () => {
  test('stops in reverse order, one after the other', async () => {
    const events: string[] = []
    const stack = createStopStack(capture())
    for (const name of ['database', 'server', 'syncer']) {
      stack.push(
        name,
        async () => {
          events.push(`${name} stops`)
          await Promise.resolve()
          events.push(`${name} stopped`)
        },
        1000,
      )
    }
    assert.deepEqual(await stack.stopAll(), [])
    const order = ['syncer', 'server', 'database']
    assert.deepEqual(
      events,
      order.flatMap((name) => [`${name} stops`, `${name} stopped`]),
    )
  })

  test('logs what fails, goes on, and names it', async () => {
    const { log, errors } = capture()
    const stack = createStopStack({ log })
    const reached: string[] = []
    stack.push('first', async () => void reached.push('first'), 1000)
    stack.push('rejects', () => Promise.reject(new Error('no')), 1000)
    stack.push(
      'throws',
      () => {
        throw new Error('at once')
      },
      1000,
    )
    assert.deepEqual(await stack.stopAll(), ['throws', 'rejects'])
    assert.deepEqual(reached, ['first'])
    assert.deepEqual(
      errors().map((line) => line.name),
      ['throws', 'rejects'],
    )
  })

  test('leaves behind what does not stop by its deadline, after telling it so', async () => {
    const { log, errors } = capture()
    const stack = createStopStack({ log })
    let told: AbortSignal | null = null
    stack.push('after', async () => {}, 1000)
    stack.push(
      'hangs',
      (signal) => {
        told = signal
        return never()
      },
      1,
    )
    assert.deepEqual(await stack.stopAll(), ['hangs'])
    assert.equal((told as AbortSignal | null)?.aborted, true)
    assert.match(String(errors()[0]?.message), /did not stop in time/)
  })

  test('ignores a failure that comes after the deadline', async () => {
    const stack = createStopStack(capture())
    stack.push(
      'late',
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => setImmediate(reject, new Error('late')))
        }),
      1,
    )
    assert.deepEqual(await stack.stopAll(), ['late'])
    await new Promise((done) => setImmediate(() => setImmediate(done)))
  })

  test('stops each thing once, however often it is asked', async () => {
    const stack = createStopStack(capture())
    const stops: string[] = []
    stack.push('once', async () => void stops.push('once'), 1000)
    await Promise.all([stack.stopAll(), stack.stopAll()])
    await stack.stopAll()
    assert.deepEqual(stops, ['once'])
  })

  test('also stops what is opened while or after it stops', async () => {
    const stack = createStopStack(capture())
    const stopped: string[] = []
    const stops = (name: string) => async () => void stopped.push(name)
    stack.push(
      'opener',
      async () => {
        stack.push('meanwhile', stops('meanwhile'), 1000)
      },
      1000,
    )
    await stack.stopAll()
    stack.push('afterwards', stops('afterwards'), 1000)
    await stack.stopAll()
    assert.deepEqual(stopped, ['meanwhile', 'afterwards'])
  })
})

describe('signals', () => {
  function supervise(times: { shutdownTimeoutMs?: number; abortGraceMs?: number } = {}) {
    const emitter = new EventEmitter()
    const exited = Promise.withResolvers<number>()
    const exits: number[] = []
    const exit = (code: number) => {
      exits.push(code)
      exited.resolve(code)
    }
    const { log } = capture()
    const supervision = superviseSignals({
      on: emitter,
      shutdownTimeoutMs: 3_600_000,
      exit,
      log,
      ...times,
    })
    const state = () => [supervision.draining.aborted, supervision.aborted.aborted, exits.length]
    return { emitter, supervision, state, exited: exited.promise, exits }
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`the first ${signal} drains and aborts nothing`, (t) => {
      const { emitter, supervision, state } = supervise()
      t.after(() => supervision.end())
      assert.deepEqual(state(), [false, false, 0])
      emitter.emit(signal)
      assert.deepEqual(state(), [true, false, 0])
      assert.match(String(supervision.draining.reason), /stopping: SIG/)
    })
  }

  test('the second aborts, the third ends the process with 1', (t) => {
    const { emitter, supervision, state, exits } = supervise()
    t.after(() => supervision.end())
    emitter.emit('SIGTERM')
    emitter.emit('SIGINT')
    assert.deepEqual(state(), [true, true, 0])
    emitter.emit('SIGINT')
    assert.deepEqual(exits, [1])
  })

  test('work that outlives the time-out is aborted', async (t) => {
    const { emitter, supervision } = supervise({ shutdownTimeoutMs: 1, abortGraceMs: 3_600_000 })
    t.after(() => supervision.end())
    const aborted = new Promise((done) => supervision.aborted.addEventListener('abort', done))
    emitter.emit('SIGTERM')
    await aborted
    assert.match(String(supervision.aborted.reason), /SHUTDOWN_TIMEOUT/)
  })

  test('an abort that takes too long ends the process with 1', async (t) => {
    const { emitter, supervision, exited } = supervise({ shutdownTimeoutMs: 1, abortGraceMs: 1 })
    t.after(() => supervision.end())
    emitter.emit('SIGTERM')
    assert.equal(await exited, 1)
  })

  test('a failure drains too, and the first signal after it still lets work finish', (t) => {
    const { emitter, supervision, state } = supervise()
    t.after(() => supervision.end())
    supervision.drain('the port is taken')
    assert.deepEqual(state(), [true, false, 0])
    emitter.emit('SIGTERM')
    assert.deepEqual(state(), [true, false, 0])
    emitter.emit('SIGTERM')
    assert.deepEqual(state(), [true, true, 0])
  })

  test('are left alone once supervision has ended', () => {
    const { emitter, supervision, state } = supervise()
    emitter.emit('SIGTERM')
    supervision.end()
    emitter.emit('SIGTERM')
    assert.deepEqual(state(), [true, false, 0])
    assert.equal(emitter.listenerCount('SIGTERM') + emitter.listenerCount('SIGINT'), 0)
  })
})
