/**
 * A client for large answers, in a process of its own: wrk reads 8 KiB at a time, which costs more than serving them.
 * Reads its order as JSON from the command line and prints what it counted as JSON.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Counted } from './load.ts'
import { quantile } from './quantile.ts'

export interface ReaderOrder {
  port: number
  /** A file with one target a line. */
  list: string
  connections: number
  seconds: number
  range: { bytes: number; of: number } | null
}

/** All connections read into it, one after the other; nobody looks at the bytes. */
const buffer = Buffer.allocUnsafeSlow(1024 * 1024)

async function main(order: ReaderOrder): Promise<Counted> {
  const targets = readFileSync(order.list, 'utf8').trim().split('\n')
  const counted = { requests: 0, bytes: 0, failed: 0 }
  const times: number[] = []
  const started = performance.now()
  const until = started + order.seconds * 1000
  const readers = Array.from({ length: order.connections }, () =>
    read(order, { targets, counted, times, until }),
  )
  await pause(order.seconds * 1000)
  const seconds = (performance.now() - started) / 1000
  for (const socket of readers) socket.destroy()
  return {
    ...counted,
    seconds,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  }
}

function read(
  order: ReaderOrder,
  run: {
    targets: string[]
    counted: Pick<Counted, 'requests' | 'bytes' | 'failed'>
    times: number[]
    until: number
  },
): Socket {
  const { targets, counted, times, until } = run
  let head = ''
  let left = 0
  let askedAt = 0
  const ask = () => {
    head = ''
    askedAt = performance.now()
    const target = targets[Math.floor(Math.random() * targets.length)] ?? '/'
    socket.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${rangeOf(order)}\r\n`)
  }
  const take = (length: number) => {
    counted.bytes += length
    left -= length
    if (left > 0) return
    counted.requests += 1
    times.push(performance.now() - askedAt)
    if (performance.now() < until) ask()
  }
  const callback = (length: number) => {
    if (left > 0) {
      take(length)
      return true
    }
    head += buffer.toString('latin1', 0, length)
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return true
    if (!/^HTTP\/1\.1 20[06] /.test(head)) counted.failed += 1
    left = Number(/\r\ncontent-length: (\d+)/i.exec(head.slice(0, end))?.[1])
    take(head.length - end - 4)
    return true
  }
  const socket = connect({ port: order.port, host: '127.0.0.1', onread: { buffer, callback } })
  socket.on('error', () => {
    counted.failed += 1
  })
  socket.once('connect', ask)
  return socket
}

function rangeOf({ range }: ReaderOrder): string {
  if (range === null) return ''
  const start = Math.floor(Math.random() * (range.of - range.bytes))
  return `Range: bytes=${start}-${start + range.bytes - 1}\r\n`
}

const [, , text = ''] = process.argv
console.log(JSON.stringify(await main(JSON.parse(text) as ReaderOrder)))
