import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a part that is mounted on the admin port is given with each request. */
export interface MountedBindings {
  incoming: IncomingMessage
  outgoing: ServerResponse
  /** The canonical address of whoever asks. */
  client: string
  /** To be called when the visitor took bytes of a long answer; one that stands still is ended. */
  moved(): void
  /**
   * Answers with an archived file, as the file server would: ranges, conditions and all.
   *
   * @returns what the part gives back as its answer
   */
  sendFile(file: { mediaId: number; archivePath: string }): Promise<Response>
}

/** Pages of another part on the admin port: all but the health pages are theirs. */
export type Mounted = (request: Request, bindings: MountedBindings) => Response | Promise<Response>
