import { AppError, type ErrorCode, systemCode } from '../errors.ts'

/** What was tried when the system refused; it decides what some codes mean. */
export type DiskStep =
  | 'look at'
  | 'look into'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'close'
  | 'link'
  | 'move'
  | 'remove'

interface Meaning {
  code: ErrorCode
  says: string
  hint?: string
}

const full: Meaning = {
  code: 'DISK_FULL',
  says: 'no space is left there',
  hint: 'free some space or raise the quota; work goes on by itself once there is room',
}
const sick: Meaning = {
  code: 'DISK_SICK',
  says: 'the disk or its file system failed',
  hint: 'look at the kernel log (dmesg) and check the disk before anything else is written to it',
}
const denied: Meaning = {
  code: 'DISK_DENIED',
  says: 'permission is denied',
  hint: 'give the user that runs Strongroom the right to it (chown, chmod)',
}
const readOnly: Meaning = {
  code: 'DISK_DENIED',
  says: 'the file system is mounted read-only',
  hint: 'mount it writable; a kernel also does this by itself after a disk error (dmesg)',
}
const exhausted: Meaning = {
  code: 'DISK_DENIED',
  says: 'this process may open no more files',
  hint: 'raise the limit of open files (ulimit -n)',
}
const taken: Meaning = { code: 'NAME_TAKEN', says: 'something of that name is there already' }
const missing: Meaning = { code: 'FILE_MISSING', says: 'there is no such file or folder' }
const unsafe: Meaning = {
  code: 'PATH_UNSAFE',
  says: 'a part of the path is not what it must be (a symbolic link, or a file in place of a folder)',
  hint: 'symbolic links are never followed below the root; mount the folder there instead',
}

/** Every native code that a file system gives, translated once. */
const MEANINGS: Partial<Record<string, Meaning>> = {
  ENOSPC: full,
  EDQUOT: full,
  EIO: sick,
  EUCLEAN: sick,
  ESTALE: sick,
  ENODEV: sick,
  ENOTCONN: sick,
  EREMOTEIO: sick,
  ETIMEDOUT: sick,
  EACCES: denied,
  EPERM: denied,
  EROFS: readOnly,
  EMFILE: exhausted,
  ENFILE: exhausted,
  EBUSY: { code: 'DISK_DENIED', says: 'it is in use, for example as a mount point' },
  EFBIG: { code: 'DISK_DENIED', says: 'files of that size are not allowed there' },
  EXDEV: {
    code: 'DISK_DENIED',
    says: 'the two folders lie on different file systems',
    hint: 'keep everything below the root on one file system',
  },
  EEXIST: taken,
  ENOTEMPTY: taken,
  ENOENT: missing,
  ELOOP: unsafe,
  ENOTDIR: unsafe,
  ENXIO: { code: 'PATH_UNSAFE', says: 'it is not a regular file' },
  EISDIR: { code: 'PATH_UNSAFE', says: 'it is a folder' },
  ENAMETOOLONG: { code: 'PATH_UNSAFE', says: 'the name is too long' },
}

const noLinks: Meaning = { code: 'LINK_REFUSED', says: 'hard links are refused there' }
const LINK_MEANINGS: Partial<Record<string, Meaning>> = {
  EPERM: noLinks,
  ENOTSUP: noLinks,
  EOPNOTSUPP: noLinks,
  ENOSYS: noLinks,
  EXDEV: noLinks,
  EMLINK: noLinks,
}

/** Linux errors that Node has no name for: it says "Unknown system error -122". */
const UNNAMED: Partial<Record<number, string>> = { 116: 'ESTALE', 117: 'EUCLEAN', 122: 'EDQUOT' }

/** Makes an AppError of what a file system call threw; `path` is shown to people. */
export function diskError(error: unknown, step: DiskStep, path: string): AppError {
  if (error instanceof AppError) return error
  const native = nativeCode(error)
  const meaning = native === null ? null : meaningOf(native, step)
  if (meaning === null) {
    return new AppError('INTERNAL', `internal error: cannot ${step} ${path}`, { cause: error })
  }
  return new AppError(meaning.code, `cannot ${step} ${path}: ${meaning.says} (${native})`, {
    cause: error,
    hint: meaning.hint ?? null,
  })
}

function meaningOf(native: string, step: DiskStep): Meaning | null {
  if (native === 'EBADF') return null
  if (step === 'link' && LINK_MEANINGS[native]) return LINK_MEANINGS[native]
  const meaning = MEANINGS[native] ?? null
  // Whatever the reason of a failed sync or close, the contents are lost: only a full disk heals by itself.
  if (step === 'sync' || step === 'close') return meaning?.code === 'DISK_FULL' ? meaning : sick
  if (step === 'move' && native === 'EISDIR') return taken
  return meaning
}

function nativeCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const number = 'errno' in error && typeof error.errno === 'number' ? Math.abs(error.errno) : 0
  const name = UNNAMED[number] ?? systemCode(error)
  return name !== null && /^E(?!RR_)[A-Z0-9]+$/.test(name) ? name : null
}
