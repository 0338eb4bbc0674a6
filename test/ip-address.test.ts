import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  canonicalAddress,
  createRangeCheck,
  networkOf,
  readAddressRange,
} from '../src/ip-address.ts'

const spellings: [written: string, canonical: string | null][] = [
  ['192.0.2.1', '192.0.2.1'],
  ['0.0.0.0', '0.0.0.0'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:c000:201', '192.0.2.1'],
  ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
  ['::ffff:0.0.0.5', '0.0.0.5'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['2001:db8::0001', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::', '::'],
  ['::1', '::1'],
  ['::192.0.2.1', '::c000:201'],
  ['', null],
  ['unknown', null],
  ['192.0.2', null],
  ['192.0.2.256', null],
  ['192.0.2.01', null],
  ['0xc0.0.2.1', null],
  ['3221225985', null],
  ['192.0.2.1:80', null],
  ['[::1]', null],
  [' 192.0.2.1', null],
  ['192.0.2.1, 192.0.2.2', null],
  ['::1::', null],
  ['example.org', null],
]
for (const [written, canonical] of spellings)
  test(`"${written}" is ${canonical === null ? 'no address' : `the address ${canonical}`}`, () => {
    assert.equal(canonicalAddress(written), canonical)
  })

test('a range holds the addresses that begin as it does, and no others', () => {
  const cases: [range: string, inside: string[], outside: string[]][] = [
    ['192.0.2.1', ['192.0.2.1'], ['192.0.2.2', '::1']],
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255'], ['11.0.0.0', '9.255.255.255', 'unknown', '']],
    ['10.1.2.3/8', ['10.9.9.9'], ['11.0.0.0']],
    ['0.0.0.0/0', ['192.0.2.1'], ['2001:db8::1']],
    ['2001:db8::/32', ['2001:db8:ffff::1'], ['2001:db9::1', '10.0.0.1']],
    ['::1', ['::1'], ['::2', '127.0.0.1']],
    ['::ffff:10.0.0.1', ['10.0.0.1'], ['10.0.0.2']],
  ]
  for (const [text, inside, outside] of cases) {
    const range = readAddressRange(text)
    assert.ok(range, text)
    const isInside = createRangeCheck([range])
    for (const address of inside) assert.equal(isInside(address), true, `${text} ${address}`)
    for (const address of outside) assert.equal(isInside(address), false, `${text} ${address}`)
  }
})

test('what is no range is not read as one', () => {
  for (const text of [
    '',
    '/8',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '::/129',
    '::ffff:10.0.0.0/104',
    'localhost',
    '*',
  ])
    assert.equal(readAddressRange(text), null, text)
})

test('an IPv6 visitor is known by the first 64 bits, an IPv4 visitor by the whole address', () => {
  assert.equal(networkOf('192.0.2.1'), '192.0.2.1')
  for (const [address, network] of [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['2001:db8:0:2::9', '2001:db8:0:2::/64'],
  ] as const)
    assert.equal(networkOf(address), network)
})
