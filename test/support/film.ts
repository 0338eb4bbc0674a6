import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type Scope, withFolder } from './scopes.ts'

/** Long enough that players fetch it in parts. */
export const filmSeconds = 40

/**
 * Makes an mp4 of some 75 MB, whose index is at its end: whoever plays it must jump, and no player keeps it whole.
 *
 * @returns its path
 */
export async function makeFilm(t: Scope): Promise<string> {
  const path = join(await withFolder(t), 'film.mp4')
  const scene = `testsrc2=size=320x240:rate=25:duration=${filmSeconds},noise=alls=60:allf=t`
  const inputs = ['-f', 'lavfi', '-i', scene, '-f', 'lavfi', '-i', `sine=duration=${filmSeconds}`]
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '20', '-g', '25', '-c:a', 'aac']
  const rest = ['-pix_fmt', 'yuv420p', '-shortest', path]
  execFileSync('ffmpeg', ['-v', 'error', ...inputs, ...codecs, ...rest])
  return path
}
