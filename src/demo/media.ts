import { access, constants, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import ffmpeg from 'fluent-ffmpeg'
import { AppError, systemCode } from '../errors.ts'
import type { MediaKind } from '../media.ts'

export interface DemoMedium {
  /** What an uploader might have called it. */
  name: string
  path: string
  /** As its row declares it. */
  kind: MediaKind
  mimeType: string
  /** False for the one that is made to be rejected. */
  valid: boolean
}

interface Recipe {
  name: string
  kind: MediaKind
  mimeType: string
  /** Synthetic sources, one for each stream. */
  sources: string[]
  options: string[]
}

const h264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p']

const recipes: readonly Recipe[] = [
  {
    name: 'harbour at dawn.mp4',
    kind: 'video',
    mimeType: 'video/mp4',
    sources: ['testsrc2=size=640x360:rate=25:duration=4', 'sine=frequency=330:duration=4'],
    options: [...h264, '-c:a', 'aac', '-f', 'mp4'],
  },
  {
    name: 'interview.webm',
    kind: 'video',
    mimeType: 'video/webm',
    sources: [
      'smptebars=size=320x180:rate=25:duration=3',
      'sine=frequency=550:duration=3:sample_rate=48000:samples_per_frame=960',
    ],
    options: ['-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus', '-f', 'webm'],
  },
  {
    name: 'Übung 1.mp3',
    kind: 'audio',
    mimeType: 'audio/mpeg',
    sources: ['sine=frequency=440:beep_factor=4:duration=5:samples_per_frame=1152'],
    options: ['-c:a', 'libmp3lame', '-b:a', '96k', '-f', 'mp3'],
  },
  {
    name: 'poster.jpg',
    kind: 'image',
    mimeType: 'image/jpeg',
    sources: ['testsrc2=size=1280x720'],
    options: ['-frames:v', '1', '-c:v', 'mjpeg', '-q:v', '3', '-f', 'image2pipe'],
  },
  {
    name: 'logo.png',
    kind: 'image',
    mimeType: 'image/png',
    sources: ['mandelbrot=size=320x320'],
    options: ['-frames:v', '1', '-c:v', 'png', '-f', 'image2pipe'],
  },
]

/** An upload that broke off: its header, which MP4 writes last, is missing. */
const broken = {
  name: 'broken upload.mp4',
  kind: 'video',
  mimeType: 'video/mp4',
} as const

/**
 * Makes a few small media of all kinds and one broken one; those already in `folder` are kept.
 *
 * @throws PROBE_MISSING when ffmpeg is not installed
 */
export async function makeDemoMedia(
  folder: string,
  options: { ffmpegPath?: string } = {},
): Promise<DemoMedium[]> {
  const { ffmpegPath } = options
  // fluent-ffmpeg throws where nobody can catch it when a path it was given names no program.
  if (ffmpegPath !== undefined && !(await exists(ffmpegPath, constants.X_OK))) throw noFfmpeg()
  await mkdir(folder, { recursive: true })
  const made: DemoMedium[] = []
  for (const recipe of recipes) {
    const path = join(folder, recipe.name)
    if (!(await exists(path))) await makeWhole(path, (part) => render(recipe, part, ffmpegPath))
    made.push(asMedium(recipe, path, true))
  }
  const path = join(folder, broken.name)
  const [whole] = made
  if (whole && !(await exists(path))) await makeWhole(path, (part) => cutOff(whole.path, part))
  made.push(asMedium(broken, path, false))
  return made
}

function asMedium(
  { name, kind, mimeType }: Pick<DemoMedium, 'name' | 'kind' | 'mimeType'>,
  path: string,
  valid: boolean,
): DemoMedium {
  return { name, path, kind, mimeType, valid }
}

/** A run that was stopped leaves nothing under the final name. */
async function makeWhole(path: string, make: (part: string) => Promise<void>): Promise<void> {
  const part = `${path}.part`
  try {
    await make(part)
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

/**
 * The sources are filters, not inputs: of FFmpeg 7's list of formats fluent-ffmpeg does not understand lavfi
 * (https://github.com/fluent-ffmpeg/node-fluent-ffmpeg/issues/1282).
 */
function render(recipe: Recipe, part: string, ffmpegPath?: string): Promise<void> {
  const command = ffmpeg().addOptions(['-v', 'error', ...recipe.options])
  if (ffmpegPath !== undefined) command.setFfmpegPath(ffmpegPath)
  const labels = recipe.sources.map((_, index) => `s${index}`)
  command.complexFilter(
    recipe.sources.map((source, index) => `${source}[s${index}]`),
    labels,
  )
  return new Promise((resolve, reject) => {
    command
      .on('end', () => resolve())
      .on('error', (error: Error) => reject(asAppError(error, recipe.name)))
      .save(part)
  })
}

function asAppError(error: Error, name: string): AppError {
  if (systemCode(error) === null && !error.message.startsWith('Cannot find ffmpeg')) {
    return new AppError('INTERNAL', `ffmpeg could not make the demo file ${name}`, { cause: error })
  }
  return noFfmpeg(error)
}

function noFfmpeg(cause?: Error): AppError {
  return new AppError('PROBE_MISSING', 'ffmpeg, which makes the media of the demo, cannot be run', {
    cause,
    hint: 'Install it: on Debian and Ubuntu, apt install ffmpeg.',
  })
}

async function cutOff(whole: string, part: string): Promise<void> {
  const bytes = await readFile(whole)
  await writeFile(part, bytes.subarray(0, bytes.length >> 1))
}

async function exists(path: string, mode = constants.F_OK): Promise<boolean> {
  try {
    await access(path, mode)
    return true
  } catch {
    // Absent, or not ours to see: making it will tell.
    return false
  }
}
