import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type BenchObject, benchObject } from './bucket.ts'

const MIB = 2 ** 20

export type MediaType = 'video' | 'image'

/** Real media in `folder`, each with bytes of its own. */
export interface Corpus {
  type: MediaType
  objects: BenchObject[]
}

/** One mp4 of this size: a real one, and a box behind it that readers skip. */
export async function makeLarge(folder: string, sizeBytes: number): Promise<Corpus> {
  const path = join(folder, 'large.mp4')
  await mkdir(folder, { recursive: true })
  const mp4 = await makeMp4(folder, 1)
  const box = Buffer.alloc(16)
  box.writeUInt32BE(1, 0)
  box.write('free', 4, 'latin1')
  box.writeBigUInt64BE(BigInt(sizeBytes - mp4.length), 8)
  await pipeline(Readable.from(largeChunks(mp4, box, sizeBytes)), createWriteStream(path))
  return { type: 'video', objects: [await benchObject(path, 'large.mp4')] }
}

function* largeChunks(mp4: Buffer, box: Buffer, sizeBytes: number): Generator<Buffer> {
  yield mp4
  yield box
  for (let left = sizeBytes - mp4.length - box.length; left > 0; left -= MIB)
    yield randomBytes(Math.min(MIB, left))
}

/** Ten seconds of film, some 2 MiB; each with a note at its end. */
export async function makeVideos(folder: string, count: number): Promise<Corpus> {
  await mkdir(folder, { recursive: true })
  const mp4 = await makeMp4(folder, 10)
  return make(folder, count, {
    type: 'video',
    extension: 'mp4',
    bytes: () => Buffer.concat([mp4, freeBox(randomBytes(32))]),
  })
}

/** Pictures of some 20 KiB; each with a comment. */
export async function makeImages(folder: string, count: number): Promise<Corpus> {
  await mkdir(folder, { recursive: true })
  const source = join(folder, '.source.jpg')
  ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=480x360:rate=1', '-frames:v', '1', '-q:v', '5', source)
  const jpeg = await readFile(source)
  return make(folder, count, {
    type: 'image',
    extension: 'jpg',
    // A comment right after the start of the image (ITU T.81, B.2.4.5).
    bytes: () =>
      Buffer.concat([
        jpeg.subarray(0, 2),
        Buffer.from([0xff, 0xfe, 0, 34]),
        randomBytes(32),
        jpeg.subarray(2),
      ]),
  })
}

async function make(
  folder: string,
  count: number,
  what: { type: MediaType; extension: string; bytes: () => Buffer },
): Promise<Corpus> {
  const objects: BenchObject[] = []
  for (let n = 0; n < count; n++) {
    const key = `${String(n).padStart(5, '0')}.${what.extension}`
    const path = join(folder, key)
    await writeFile(path, what.bytes())
    objects.push(await benchObject(path, key))
  }
  return { type: what.type, objects }
}

async function makeMp4(folder: string, seconds: number): Promise<Buffer> {
  const path = join(folder, '.source.mp4')
  const picture = `testsrc2=size=1280x720:rate=25:duration=${seconds},noise=alls=12:allf=t`
  const sound = `sine=frequency=440:duration=${seconds}`
  const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '1600k', '-c:a', 'aac']
  ffmpeg('-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', sound, ...coded, path)
  return readFile(path)
}

function ffmpeg(...args: string[]): void {
  execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], { stdio: 'inherit' })
}

function freeBox(note: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + note.length, 0)
  head.write('free', 4, 'latin1')
  return Buffer.concat([head, note])
}
