import { mkdir } from 'node:fs/promises'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

/** A PostgreSQL inside this process, reached over TCP like any other. */
export interface EmbeddedDatabase {
  /** For DATABASE_URL. */
  url: string
  close(): Promise<void>
}

/**
 * Starts the embedded database on its folder, on a free port of the loopback interface. It multiplexes one backend: good
 * for showing the product, never ground for a claim about concurrency.
 */
export async function startDatabase(dir: string): Promise<EmbeddedDatabase> {
  await mkdir(dir, { recursive: true })
  const db = await PGlite.create(dir)
  const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: 0, maxConnections: 20 })
  await server.start()
  return {
    url: `postgres://postgres@${server.getServerConn()}/postgres?sslmode=disable`,
    async close() {
      await server.stop()
      await db.close()
    },
  }
}
