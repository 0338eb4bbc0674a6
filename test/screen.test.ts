import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openScreen } from '../src/screen.ts'
import { SeenTerminal } from './support/terminal.ts'

function opened(size = { columns: 40, rows: 10 }) {
  const seen = new SeenTerminal()
  const written: string[] = []
  const screen = openScreen({
    terminal: {
      size: () => size,
      write(text) {
        written.push(text)
        seen.write(text)
      },
    },
    env: { TERM: 'xterm' },
  })
  assert.ok(screen)
  return { screen, seen, written, size }
}

describe('lines that are drawn again and again', () => {
  test('stand below what is written meanwhile, and leave nothing behind', () => {
    const { screen, seen } = opened()
    screen.write('before\n')
    screen.draw(['one', 'two'])
    assert.equal(seen.picture(), 'before\none\ntwo')
    screen.draw(['three'])
    assert.equal(seen.picture(), 'before\nthree')
    screen.write('a line of the log\n')
    assert.equal(seen.picture(), 'before\na line of the log')
    screen.draw(['four', 'five'])
    screen.draw([])
    assert.equal(seen.picture(), 'before\na line of the log')
  })

  test('are drawn only when they differ', () => {
    const { screen, written } = opened()
    for (let n = 0; n < 5; n++) screen.draw(['the same'])
    assert.equal(written.length, 1)
  })

  test('fit the window, also after it was resized', () => {
    const { screen, seen, size } = opened()
    const lines = Array.from({ length: 30 }, (_, n) => `${n} ${'x'.repeat(100)} 🎬`)
    screen.draw(lines)
    assert.deepEqual(
      seen
        .picture()
        .split('\n')
        .map(({ length }) => length),
      Array.from({ length: 9 }, () => 39),
    )
    Object.assign(size, { columns: 12, rows: 3 })
    screen.draw(lines)
    assert.equal(seen.picture(), '28 xxxxxxxx\n29 xxxxxxxx')
  })

  test('cannot be made to move the cursor by a file name', () => {
    const { screen, seen } = opened({ columns: 80, rows: 10 })
    screen.draw(['a\x1b[2Jb\nc\rd\u202ee\u2028f\u0007g\ud800'])
    assert.equal(seen.picture(), String.raw`a\u001b[2Jb\u000ac\u000dd\u202ee\u2028f\u0007g\ud800`)
  })

  test('have no colours', () => {
    const { screen, written } = opened()
    screen.draw(['one'])
    screen.write('two\n')
    assert.doesNotMatch(written.join(''), /\x1b\[[\d;]*m/)
  })
})

for (const [what, terminal, env] of [
  ['no terminal', null, { TERM: 'xterm' }],
  [
    'a dumb terminal',
    { size: () => ({ columns: 80, rows: 24 }), write: assert.fail },
    { TERM: 'dumb' },
  ],
  [
    'a terminal of no known kind',
    { size: () => ({ columns: 80, rows: 24 }), write: assert.fail },
    {},
  ],
] as const)
  test(`${what} gets no screen`, () => {
    assert.equal(openScreen({ terminal, env }), null)
  })
