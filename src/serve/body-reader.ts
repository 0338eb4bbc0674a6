import { read } from 'node:fs'
import { AppError } from '../errors.ts'
import { unreadable } from './locate.ts'
import type { Body } from './multipart.ts'
import type { OpenFile } from './open-files.ts'

/**
 * Fills a buffer with what comes next of a body, and then calls `done` with the filled part, which is empty at the end.
 * `done` may be called before the function returns.
 */
export type ReadInto = (target: Buffer, done: ReadDone) => void
/** The error is ARCHIVE_DAMAGED when the file ends early, DISK_SICK and its like when reading fails. */
export type ReadDone = (error: unknown, bytes: Buffer) => void

/** Makes the reader of a body; one read at a time. In callbacks, because promises cost as much as the reading. */
export function createBodyReader(file: OpenFile, { pieces }: Body): ReadInto {
  let index = 0
  let offset = 0
  let filled = 0
  let target: Buffer
  let done: ReadDone

  const fill = (): void => {
    while (filled < target.length) {
      const piece = pieces[index]
      if (piece === undefined) break
      const room = target.subarray(filled, filled + piece.length - offset)
      if (!Buffer.isBuffer(piece)) {
        read(file.file.fd, room, 0, room.length, piece.start + offset, onRead)
        return
      }
      advance(piece.copy(room, 0, offset), piece.length)
    }
    done(null, target.subarray(0, filled))
  }
  const onRead = (error: Error | null, bytesRead: number): void => {
    if (error !== null) done(translated(error), target)
    else if (bytesRead === 0) done(shorter(), target)
    else {
      advance(bytesRead, pieces[index]?.length ?? 0)
      fill()
    }
  }
  const advance = (taken: number, pieceLength: number): void => {
    filled += taken
    offset += taken
    if (offset < pieceLength) return
    index += 1
    offset = 0
  }
  return (into, whenDone) => {
    target = into
    done = whenDone
    filled = 0
    fill()
  }
}

/** What is no error of the system is a bug, and is told as it is. */
function translated(error: Error): unknown {
  try {
    return unreadable(error)
  } catch (bug) {
    return bug
  }
}

function shorter(): AppError {
  return new AppError('ARCHIVE_DAMAGED', 'a file became shorter while it was read')
}
