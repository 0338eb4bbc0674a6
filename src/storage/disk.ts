/** What `lstat` tells of an entry, as far as anything here depends on it. */
export interface FileFacts {
  kind: 'file' | 'folder' | 'other'
  sizeBytes: number
  device: number
  inode: number
  links: number
}

/** A file being written under a name that only its writer believes in. */
export interface NewFile {
  readonly path: string
  /** Bytes written so far. */
  readonly sizeBytes: number
  /** Writes all of `chunk`, however short the single writes are. */
  write(chunk: Uint8Array): Promise<void>
  /** Sets `mode`, fsyncs, closes. After an error the contents count as lost: discard and write anew. */
  seal(mode: number): Promise<void>
  /** Closes without syncing, for those who only want to read it back. Idempotent. */
  close(): Promise<void>
}

/**
 * A folder tree on one file system; every path is relative to `root` and cannot leave it.
 *
 * Names and contents are durable only after `syncFolder` and `seal`/`syncFile`: callers order these calls, and the
 * tests replace this interface by one that drops whatever was not synced.
 *
 * All calls throw AppErrors: DISK_FULL, DISK_SICK (EIO, failed fsync), DISK_DENIED, NAME_TAKEN, LINK_REFUSED,
 * FILE_MISSING, PATH_UNSAFE.
 */
export interface Disk {
  readonly root: string
  /** Exclusive, mode 0600, never through a symbolic link. @throws NAME_TAKEN */
  create(path: string): Promise<NewFile>
  /** @returns null when there is no such entry */
  stat(path: string): Promise<FileFacts | null>
  /** Reads a small regular file whole. @returns null when absent; @throws PATH_UNSAFE when it is larger than `maxBytes` */
  read(path: string, maxBytes: number): Promise<Buffer | null>
  /** Reads a regular file to its end. @throws FILE_MISSING */
  hash(
    path: string,
    signal?: AbortSignal,
  ): Promise<{ sha256: string; sizeBytes: number; device: number }>
  /** Makes one folder; fine if it is there already. @throws NAME_TAKEN when something else has the name */
  makeFolder(path: string): Promise<void>
  /** @throws NAME_TAKEN, LINK_REFUSED (this file system has no hard links for us) */
  link(from: string, to: string): Promise<void>
  /** Replaces `to`. */
  rename(from: string, to: string): Promise<void>
  /** Fine if it is gone already. */
  unlink(path: string): Promise<void>
  syncFile(path: string): Promise<void>
  syncFolder(path: string): Promise<void>
  /** Entry names; empty when the folder is absent. */
  list(path: string): Promise<string[]>
  /** Bytes that an unprivileged process may still write. */
  freeBytes(): Promise<number>
}
