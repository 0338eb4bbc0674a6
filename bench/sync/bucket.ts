import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { link, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../test/support/ports.ts'

/**
 * A bucket that is nobody's limit: nginx, one worker. It answers GET, HEAD and DELETE as S3 does, honours If-Match, and its
 * ETag is the object's MD5, as a store gives it for what was uploaded in one part. Signatures are not looked at.
 */
export interface NginxBucket {
  port: number
  name: string
  /** The objects of a folder, each under its file's name. */
  fill(objects: BenchObject[]): Promise<void>
  /** How many objects are still there. */
  left(): Promise<number>
  stop(): Promise<void>
}

export interface BenchObject {
  key: string
  /** Where its bytes lie; never changed. */
  path: string
  sizeBytes: number
  /** Hex. */
  md5: string
  sha256: string
}

const NAME = 'media'
const HEADERS_MORE = '/usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so'

/** @param folder on the file system of the objects, which are linked and not copied */
export async function startBucket(folder: string): Promise<NginxBucket> {
  const objectsDir = join(folder, 'objects', NAME)
  const port = await freePort()
  let server: ChildProcess | null = null
  const stop = async () => {
    if (server === null) return
    const ended = once(server, 'close')
    server.kill('SIGTERM')
    await ended
    server = null
  }
  return {
    port,
    name: NAME,
    async fill(objects) {
      // The table of ETags is read when it starts.
      await stop()
      await rm(objectsDir, { recursive: true, force: true })
      await mkdir(objectsDir, { recursive: true })
      for (const { key, path } of objects) await link(path, join(objectsDir, key))
      await writeFile(join(folder, 'objects', 'listing.xml'), listing(objects))
      await writeFile(
        join(folder, 'etags'),
        objects.map(({ key, md5 }) => `/${NAME}/${key} ${md5};\n`).join(''),
      )
      const config = join(folder, 'nginx.conf')
      await writeFile(config, configuration(folder, port))
      const args = ['-c', config, '-e', join(folder, 'error.log')]
      server = spawn('/usr/sbin/nginx', args, { stdio: 'ignore' })
      await whenAnswers(`http://127.0.0.1:${port}/${NAME}`)
    },
    left: async () => (await readdir(objectsDir)).length,
    stop,
  }
}

async function whenAnswers(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answered = await fetch(url).then(
      (answer) => answer.arrayBuffer(),
      () => null,
    )
    if (answered !== null) return
    await pause(50)
  }
  throw new Error(`nothing answers at ${url}`)
}

/** What nginx does with If-Match goes by an ETag of its own, so it is judged here and then taken away. */
function configuration(folder: string, port: number): string {
  return `load_module ${HEADERS_MORE};
    worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log; user root;
    worker_rlimit_nofile 8192;
    events { worker_connections 4096; }
    http {
      access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; etag off; types { }
      default_type application/octet-stream;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      map_hash_max_size 65536; map_hash_bucket_size 256;
      map $uri $md5 { default ""; include ${folder}/etags; }
      map '$http_if_match|"$md5"' $changed { default 1; "~^\\|" 0; '~^("[0-9a-f]+")\\|\\1$' 0; }
      server {
        listen 127.0.0.1:${port} backlog=1024;
        root ${folder}/objects;
        location = /${NAME} { default_type application/xml; try_files /listing.xml =404; }
        location = /${NAME}/ { default_type application/xml; try_files /listing.xml =404; }
        location /${NAME}/ {
          if ($changed) { return 412; }
          more_clear_input_headers If-Match;
          add_header ETag '"$md5"';
          dav_methods DELETE;
        }
      }
    }\n`
}

function listing(objects: readonly BenchObject[]): string {
  const rows = objects.map(
    ({ key, md5, sizeBytes }) =>
      `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;${md5}&quot;</ETag>` +
      `<Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`,
  )
  return `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${NAME}</Name><Prefix></Prefix>
<KeyCount>${rows.length}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>${rows.join('\n')}</ListBucketResult>`
}

/** Hashes a file. */
export async function benchObject(path: string, key: string): Promise<BenchObject> {
  const md5 = createHash('md5')
  const sha256 = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    md5.update(chunk)
    sha256.update(chunk)
  }
  const { size } = await stat(path)
  return { key, path, sizeBytes: size, md5: md5.digest('hex'), sha256: sha256.digest('hex') }
}
