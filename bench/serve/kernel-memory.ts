import { readFileSync } from 'node:fs'

/**
 * Segments that the kernel has received and dropped because all connections together hold too much memory (tcp(7), `tcp_mem`),
 * or one of them does. Whoever waits for them gets them 200 ms later.
 */
export function segmentsDropped(): number {
  const [names = '', counts = ''] = readFileSync('/proc/net/netstat', 'latin1').split('\n')
  return Number(counts.split(' ')[names.split(' ').indexOf('TCPRcvQDrop')])
}
