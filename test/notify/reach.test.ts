import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readAddressRange } from '../../src/ip-address.ts'
import { isMetadataAddress, isPublicAddress } from '../../src/notify/public-address.ts'
import { createReach } from '../../src/notify/reach.ts'

const notPublic = [
  ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '100.100.100.200', '100.127.255.255'],
  ...['127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255'],
  ...['192.0.0.192', '192.0.2.1', '192.88.99.1', '192.168.1.1', '198.18.0.1', '198.19.255.255'],
  ...['198.51.100.7', '203.0.113.7', '224.0.0.1', '239.255.255.255', '240.0.0.1'],
  ...['255.255.255.255', '168.63.129.16'],
  ...['::', '::1', '::127.0.0.1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe'],
  ...['::ffff:0:127.0.0.1', '64:ff9b::127.0.0.1', '64:ff9b::a9fe:a9fe', '64:ff9b::10.0.0.1'],
  ...['64:ff9b:1::1', '100::1', '2001::1', '2001:0:4136:e378::1', '2001:db8::1'],
  ...['2002:7f00:1::', '2002:a9fe:a9fe::1', '3fff::1', '5f00::1', 'fc00::1', 'fd00:ec2::254'],
  ...['fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1', '4000::1', '64:ff9b::7f00:1'],
]
const isPublic = [
  ...['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0'],
  ...['126.255.255.255', '128.0.0.1', '169.253.255.255', '169.255.0.0', '172.15.255.255'],
  ...['172.32.0.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0'],
  ...['223.255.255.255', '168.63.129.15', '::ffff:8.8.8.8', '2606:4700::1111', '2a00:1450::1'],
  ...['2001:200::1', '2003::1', '64:ff9b::8.8.8.8', '64:ff9b::808:808'],
]

const none = { hosts: [], ranges: [] }
const rangesOf = (...texts: string[]) =>
  texts.map(readAddressRange).filter((range) => range !== null)
const found =
  (...addresses: string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: isIP(address) }))

describe('an address', () => {
  for (const address of notPublic)
    test(`${address} is not of the public internet`, () => {
      assert.equal(isPublicAddress(address), false)
    })
  for (const address of isPublic)
    test(`${address} is of the public internet`, () => {
      assert.equal(isPublicAddress(address), true)
    })

  test('of IPv4 is judged the same however IPv6 wraps it', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const expected = isPublicAddress(address)
        assert.equal(isPublicAddress(`::ffff:${address}`), expected)
        assert.equal(isPublicAddress(`64:ff9b::${address}`), expected)
        // Nothing that a tunnel of old wraps is reached at all.
        assert.equal(isPublicAddress(`::${address}`), false)
      }),
    )
  })

  test('of IPv6 outside of 2000::/3 is never public, but for NAT64', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const first = Number.parseInt(/^[\da-f]*/i.exec(address)?.[0] || '0', 16)
        const isGlobal = first >= 0x2000 && first <= 0x3fff
        if (!isGlobal && first !== 0x64 && !/ffff/i.test(address))
          assert.equal(isPublicAddress(address), false)
      }),
    )
  })

  test('that is none is not public, and no metadata', () => {
    for (const text of ['', 'localhost', '127.1', '0x7f000001', '2130706433', '1.2.3.4.5']) {
      assert.equal(isPublicAddress(text), false)
      assert.equal(isMetadataAddress(text), false)
    }
  })
})

test('what clouds tell their machines is known behind NAT64, too', () => {
  for (const text of ['169.254.169.254', '64:ff9b::a9fe:a9fe', '64:ff9b::169.254.169.254'])
    assert.equal(isMetadataAddress(text), true)
  assert.equal(isMetadataAddress('64:ff9b::808:808'), false)
})

describe('a host', () => {
  test('whose name leads to the internet is reached at just the addresses that were judged', async () => {
    const reach = createReach(none, found('8.8.8.8', '2606:4700::1111'))
    assert.deepEqual(await reach({ host: 'example.org', encrypted: true }), {
      kind: 'open',
      addresses: [
        { address: '8.8.8.8', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ],
      isOwnNetwork: false,
    })
  })

  for (const address of notPublic.filter((one) => isIP(one) !== 0))
    test(`whose name leads to ${address} is refused, and so is the address itself`, async () => {
      for (const host of ['inside.example.org', address]) {
        const way = await createReach(none, found(address))({ host, encrypted: true })
        assert.equal(way.kind, 'refused')
        assert.match(way.kind === 'refused' ? way.remedy : '', /NOTIFY_ALLOW_PRIVATE/)
      }
    })

  test('with a public and a private address is reached at the public one alone', async () => {
    const way = await createReach(
      none,
      found('10.0.0.1', '8.8.8.8'),
    )({ host: 'x', encrypted: true })
    assert.deepEqual(way.kind === 'open' && way.addresses, [{ address: '8.8.8.8', family: 4 }])
  })

  test('on the internet is sent nothing unencrypted', async () => {
    const way = await createReach(none, found('8.8.8.8'))({ host: 'example.org', encrypted: false })
    assert.equal(way.kind === 'refused' && /unencrypted/.test(way.why), true)
  })

  test('that is allowed by name, in any case, or by range may be private and unencrypted', async () => {
    for (const [host, allowed] of [
      ['NTFY.lan', { hosts: ['ntfy.lan'], ranges: [] }],
      ['ntfy.lan', { hosts: [], ranges: rangesOf('192.168.0.0/16') }],
      ['192.168.1.9', { hosts: [], ranges: rangesOf('192.168.1.9') }],
    ] as const) {
      const way = await createReach(allowed, found('192.168.1.9'))({ host, encrypted: false })
      assert.equal(way.kind === 'open' && way.isOwnNetwork, true, host)
    }
  })

  test('that is allowed by name does not open the metadata of a cloud; its range does', async () => {
    for (const address of ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200']) {
      const byName = createReach({ hosts: ['ntfy.lan'], ranges: [] }, found(address))
      assert.equal((await byName({ host: 'ntfy.lan', encrypted: true })).kind, 'refused')
      const byRange = createReach({ hosts: [], ranges: rangesOf(address) }, found(address))
      assert.equal((await byRange({ host: 'ntfy.lan', encrypted: true })).kind, 'open')
    }
  })

  test('whose name is not found may be there later', async () => {
    const absent = async () => {
      throw Object.assign(new Error('no'), { code: 'ENOTFOUND' })
    }
    const way = await createReach(none, absent)({ host: 'absent.test', encrypted: true })
    assert.deepEqual(
      way.kind === 'failed' && way.why,
      'the name absent.test is not found (ENOTFOUND)',
    )
  })
})
