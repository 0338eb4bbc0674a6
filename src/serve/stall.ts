import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

/** A download that moved no byte for so long is ended. */
const stallMs = 60_000
/** From here on the kernel is asked, for whom our own buffer does not move. */
const suspectMs = 20_000
const checkMs = 5_000

/** Bytes that the kernel holds for each connection until the visitor has acknowledged them, by {@link connectionName}. */
export type KernelQueues = ReadonlyMap<string, number>

/** A connection that is watched on behalf of one or more answers. */
export interface Watched {
  /** Called whenever the kernel has taken bytes of the download. */
  moved(): void
  /** @param end as it was given to `watch` */
  unwatch(end: () => void): void
}

export interface Watchdog {
  /** @param end called once when the connection stands still for too long */
  watch(socket: Socket, end: () => void): Watched
  /** Happens by itself as well while something is watched. */
  check(): Promise<void>
}

interface Line extends Watched {
  socket: Socket
  movedAt: number
  /** What the kernel held at the last check; null where it does not say, undefined while it was not asked. */
  queued: number | null | undefined
  /** One for each answer that is under way on it. */
  ends: (() => void)[]
}

/**
 * Ends downloads that stand still. The kernel takes some MiB on behalf of a slow visitor and then nothing for a while,
 * although he goes on reading: so before a download is ended, it is asked whether the visitor took any of that. Node's
 * `server.timeout` does not, and ends slow visitors who are alive. All downloads of one connection share its movement,
 * because pipelined answers wait for the first.
 *
 * @param options.clock milliseconds, never going back
 */
export function createWatchdog(
  options: { clock?: () => number; kernelQueues?: () => Promise<KernelQueues> } = {},
): Watchdog {
  const { clock = () => performance.now(), kernelQueues = readKernelQueues } = options
  const lines = new Map<Socket, Line>()
  let checking: NodeJS.Timeout | null = null

  async function check(): Promise<void> {
    const isSuspect = ({ ends, movedAt }: Line) => ends.length > 0 && clock() - movedAt >= suspectMs
    const suspects = [...lines.values()].filter(isSuspect)
    if (suspects.length === 0) return
    const queues = await kernelQueues()
    for (const line of suspects)
      if (lines.has(line.socket)) judge(line, queues.get(connectionName(line.socket)) ?? null)
  }

  function judge(line: Line, queued: number | null): void {
    const { queued: before, movedAt, ends } = line
    line.queued = queued
    // A machine that slept has not watched for a minute: one look is never enough.
    if (before === undefined) return
    if (before !== queued) line.movedAt = clock()
    else if (clock() - movedAt >= stallMs) for (const end of ends.splice(0)) end()
  }

  /** Lives as long as the connection: one for each answer made work for the garbage collector. */
  function lineOf(socket: Socket): Line {
    const known = lines.get(socket)
    if (known !== undefined) return known
    const line = openLine(socket)
    // Nothing would ever take it out again.
    if (socket.closed) return line
    lines.set(socket, line)
    socket.once('close', () => forget(line))
    checking ??= setInterval(() => void check(), checkMs).unref()
    return line
  }

  function openLine(socket: Socket): Line {
    const ends: (() => void)[] = []
    const line: Line = {
      socket,
      movedAt: clock(),
      queued: undefined,
      ends,
      moved() {
        line.movedAt = clock()
        line.queued = undefined
      },
      unwatch(end) {
        const at = ends.indexOf(end)
        if (at >= 0) ends.splice(at, 1)
      },
    }
    return line
  }

  function forget({ socket }: Line): void {
    lines.delete(socket)
    if (lines.size > 0) return
    clearInterval(checking ?? undefined)
    checking = null
  }

  return {
    watch(socket, end) {
      const line = lineOf(socket)
      if (line.ends.length === 0) line.moved()
      line.ends.push(end)
      return line
    },
    check,
  }
}

/** Names a connection as {@link readKernelQueues} does. */
export function connectionName({ localPort, remoteAddress, remotePort }: Socket): string {
  return `${localPort} ${remoteAddress} ${remotePort}`
}

/**
 * Reads proc(5) `/proc/net/tcp`: one line for each IPv4 connection of this network namespace, and the file server
 * listens on IPv4; also of those whose visitor ended his own side (CLOSE_WAIT). Where it cannot be read, only what the
 * kernel takes from us counts as movement.
 */
export async function readKernelQueues(): Promise<KernelQueues> {
  const table = await readFile('/proc/net/tcp', 'latin1').catch(() => '')
  const entry =
    /^ *\d+: [0-9A-F]{8}:([0-9A-F]{4}) ([0-9A-F]{8}):([0-9A-F]{4}) 0[18] ([0-9A-F]{8}):/gm
  const queues = new Map<string, number>()
  for (const [, local = '', address = '', remote = '', queued = ''] of table.matchAll(entry)) {
    // An address is written as the number that this machine, little-endian, makes of its four bytes.
    const bytes = [...Buffer.from(address, 'hex')].reverse().join('.')
    const name = `${Number.parseInt(local, 16)} ${bytes} ${Number.parseInt(remote, 16)}`
    queues.set(name, Number.parseInt(queued, 16))
  }
  return queues
}
