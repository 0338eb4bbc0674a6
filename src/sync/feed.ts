/**
 * What is next for whoever asks; more is claimed when nobody's is left, so that no lane waits for another's item.
 *
 * @param claimMore one at a time; what it throws, those are told who wait for it
 * @param isOver asked before each claim
 * @returns undefined when nothing is claimable any more; what was claimed when it is over comes all the same
 */
export function createFeed<Claim>(
  claimMore: () => Promise<readonly Claim[]>,
  isOver: () => boolean,
): () => Promise<Claim | undefined> {
  const queue: Claim[] = []
  let isDry = false
  let claiming: Promise<void> | null = null
  const refill = async () => {
    try {
      const batch = await claimMore()
      isDry = batch.length === 0
      queue.push(...batch)
    } finally {
      claiming = null
    }
  }
  return async () => {
    while (queue.length === 0 && !isDry && !isOver()) {
      claiming ??= refill()
      await claiming
    }
    return queue.shift()
  }
}
