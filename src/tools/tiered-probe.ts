import { isAppError } from '../errors.ts'
import type { Probe, RawProbe, RawStream } from './ffprobe.ts'

/**
 * The small ffprobe, which starts in a tenth of the time and knows the accepted formats only, is asked first; the full one
 * where the small one gives no verdict, or knows the file and cannot measure it. What the small one refuses stays refused:
 * both have the same demuxers for the accepted formats, and the full one may choose among no others.
 *
 * @param parts.fullFor demuxers whose files only the full one can judge
 */
export function createTieredProbe({
  small,
  full,
  fullFor,
}: {
  small: Probe
  full: Probe
  fullFor: ReadonlySet<string>
}): Probe {
  return {
    async probe(absolutePath, signal) {
      try {
        const found = await small.probe(absolutePath, signal)
        if ('refused' in found || isMeasured(found, fullFor)) return found
      } catch (error) {
        if (!isAppError(error, 'PROBE_FAILED')) throw error
      }
      return full.probe(absolutePath, signal)
    },
    async version(signal) {
      await full.version(signal)
      return small.version(signal)
    },
  }
}

function isMeasured({ demuxer, streams }: RawProbe, fullFor: ReadonlySet<string>): boolean {
  return !fullFor.has(demuxer) && streams.length > 0 && streams.every(isKnown)
}

function isKnown({ type, codec, width, height, channels, sampleRate }: RawStream): boolean {
  if (type === 'video') return codec !== null && Boolean(width) && Boolean(height)
  if (type === 'audio') return codec !== null && Boolean(channels) && Boolean(sampleRate)
  return true
}
