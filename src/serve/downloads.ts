/** Counts the downloads of tokens that allow only so many. */
export interface Downloads {
  /**
   * Begins an answer to `client`.
   *
   * @param token what stands for one token, and how many downloads it allows
   * @param client what stands for one visitor
   * @returns null when all its downloads are used up; else what to call at the end, with the bytes of the file that were sent
   */
  begin(token: { key: string; max: number }, client: string): ((bytes: number) => void) | null
}

/** Longer than a film is paused for. */
const idleMs = 3_600_000
/** Some 20 MiB when all are in use. */
const defaultMaxTokens = 65_536

/** All that one visitor fetches with a token until an hour has passed without any. */
interface Window {
  running: number
  bytes: number
  idleSince: number
}

interface Used {
  downloads: number
  windows: Map<string, Window>
}

/**
 * A download is not a request: players and Cloudflare's edge split one into many ranges, repeat them, and make GETs of
 * HEADs. It is a window of time in which one visitor uses the token, from the first byte until an hour after the last; what
 * sends no byte (HEAD, 304, 412, 416, a visitor who left at once) opens none. The counts live in this process alone: a
 * restart or another node begins anew, and of more tokens than `maxTokens` those used longest ago are forgotten.
 *
 * @param options.onForgotten told at the first token that is forgotten so
 */
export function createDownloads(options: {
  clock: () => number
  onForgotten: () => void
  maxTokens?: number
}): Downloads {
  const { clock, onForgotten, maxTokens = defaultMaxTokens } = options
  // In the order of their last use.
  const tokens = new Map<string, Used>()
  let hasForgotten = false

  const usedOf = (key: string): Used => {
    const used = tokens.get(key) ?? { downloads: 0, windows: new Map() }
    tokens.delete(key)
    tokens.set(key, used)
    const [oldest = key] = tokens.keys()
    if (tokens.size <= maxTokens) return used
    tokens.delete(oldest)
    if (!hasForgotten) onForgotten()
    hasForgotten = true
    return used
  }
  return {
    begin({ key, max }, client) {
      const used = usedOf(key)
      closeIdle(used, clock() - idleMs)
      const window = used.windows.get(client) ?? open(used, { max, client })
      if (window === null) return null
      window.running += 1
      return (bytes) => {
        window.running -= 1
        window.bytes += bytes
        window.idleSince = clock()
        if (window.running > 0 || window.bytes > 0) return
        used.windows.delete(client)
        used.downloads -= 1
      }
    },
  }
}

function open(used: Used, { max, client }: { max: number; client: string }): Window | null {
  if (used.downloads >= max) return null
  const window = { running: 0, bytes: 0, idleSince: 0 }
  used.downloads += 1
  used.windows.set(client, window)
  return window
}

function closeIdle({ windows }: Used, before: number): void {
  for (const [client, { running, idleSince }] of windows)
    if (running === 0 && idleSince <= before) windows.delete(client)
}
