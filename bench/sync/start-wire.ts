import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** A long line to `port`, in a process of its own. @returns where it begins */
export async function startWire(
  port: number,
  roundTripMs?: number,
): Promise<{ port: number; stop: () => Promise<void> }> {
  const program = join(import.meta.dirname, 'wire.ts')
  const child = spawn(
    process.execPath,
    [program, String(port), ...(roundTripMs === undefined ? [] : [String(roundTripMs)])],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  const stop = async () => {
    const ended = once(child, 'close')
    child.kill()
    await ended
  }
  return { port: Number(text.toString()), stop }
}
