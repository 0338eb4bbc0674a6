import { isAppError } from '../errors.ts'
import type { Probe, ProgramProbe, RawProbe, RawStream } from './ffprobe.ts'

/**
 * Demuxers whose files only the full one can judge. JPEG XL: only Debian's has the decoder that measures it and misses its end.
 * MPEG: what a stream is must often be guessed from its bytes, and of the demuxers of raw streams that guess the small one
 * has those of sound alone, to which a film is an mp3.
 */
const FULL_FOR: ReadonlySet<string> = new Set(['jpegxl_pipe', 'mpeg', 'mpegts'])

export interface Tiers {
  /** The small ffprobe, which starts in a tenth of the time and knows the accepted formats only, told to decode nothing. */
  quick: Probe
  /** The same one, which decodes what it must to measure a file. */
  small: Probe
  full: ProgramProbe
}

/**
 * Each is asked where the one before gives no verdict, or knows the file and cannot measure it. What the small one refuses
 * stays refused: the full one may open a file with the same demuxers, and no others.
 */
export function createTieredProbe({ quick, small, full }: Tiers): Probe {
  return {
    async probe(absolutePath, signal, demuxer) {
      for (const { probe } of [quick, small])
        try {
          const found = await probe(absolutePath, signal, demuxer)
          if ('refused' in found || isMeasured(found)) return found
        } catch (error) {
          if (!isAppError(error, 'PROBE_FAILED')) throw error
        }
      return full.probe(absolutePath, signal, demuxer)
    },
    async ready() {
      // The full one takes 60 ms to start, and few files ever need it.
      await Promise.all([full.find(), small.ready()])
    },
    async version(signal) {
      const versions = [full.version(signal), small.version(signal)] as const
      const [, version] = await Promise.all(versions)
      return version
    },
  }
}

function isMeasured({ demuxer, streams }: RawProbe): boolean {
  return !FULL_FOR.has(demuxer) && streams.length > 0 && streams.every(isKnown)
}

function isKnown({ type, codec, width, height, channels, sampleRate }: RawStream): boolean {
  if (type === 'video') return codec !== null && Boolean(width) && Boolean(height)
  if (type === 'audio') return codec !== null && Boolean(channels) && Boolean(sampleRate)
  return true
}
