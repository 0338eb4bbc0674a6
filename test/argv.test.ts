import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { splitCommand } from '../src/argv.ts'

describe('a command line', () => {
  const split: [text: string, words: string[] | null][] = [
    ['true', ['true']],
    ['  a  b\tc ', ['a', 'b', 'c']],
    [`'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
    [`a"b"'c'd`, ['abcd']],
    [`"a\\"b\\\\c\\d$e\`"`, ['a"b\\c\\d$e`']],
    [`sh -c 'echo "$X" | wc; rm *'`, ['sh', '-c', 'echo "$X" | wc; rm *']],
    [`a '' ""`, ['a', '', '']],
    [`$HOME ~ * > < & ; | # !`, ['$HOME', '~', '*', '>', '<', '&', ';', '|', '#', '!']],
    [`\\'a\\"`, [`'a"`]],
    ['', null],
    ['   ', null],
    [`''`, null],
    [`a 'b`, null],
    [`a "b`, null],
    [`a "b\\"`, null],
    ['a \\', null],
    ['a\0b', null],
    ['a\nb', null],
  ]
  for (const [text, words] of split)
    test(`${JSON.stringify(text)} is ${JSON.stringify(words)}`, () => {
      assert.deepEqual(splitCommand(text), words)
    })

  const word = fc
    .string({ unit: 'grapheme', maxLength: 20 })
    .filter((text) => !/\p{Cc}/u.test(text))

  test('of quoted words gives those words, whatever is in them', () => {
    const single = (text: string) => `'${text.replaceAll("'", `'"'"'`)}'`
    const double = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`
    const quoted = fc.tuple(word, fc.constantFrom(single, double))
    fc.assert(
      fc.property(fc.array(quoted, { minLength: 1, maxLength: 6 }), (parts) => {
        fc.pre(parts[0]?.[0] !== '')
        const text = parts.map(([given, quote]) => quote(given)).join(' ')
        assert.deepEqual(
          splitCommand(text),
          parts.map(([given]) => given),
        )
      }),
    )
  })

  test('of any text is split or refused, quickly', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const words = splitCommand(text)
        assert.ok(words === null || words[0] !== '')
      }),
    )
    assert.equal(splitCommand(`"${'\\'.repeat(99_999)}`), null)
  })
})
