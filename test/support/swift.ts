/** OpenStack Swift's s3api as the real S3 server of the tests; `node test/support/swift.ts` runs it alone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { freePorts } from './ports.ts'
import { openAdmin, type S3Coordinates } from './s3.ts'

export { s3FromEnvironment, withBucket } from './s3.ts'

export interface RunningS3 extends S3Coordinates {
  stop(): Promise<void>
}

const DEADLINE_MS = 60_000
const PROGRAMS = ['proxy', 'account', 'container', 'object'].map(
  (n) => `/usr/bin/swift-${n}-server`,
)
const INSTALL =
  'apt-get install -y --no-install-recommends swift-proxy swift-account swift-container swift-object memcached'

/**
 * Builds the rings and runs the servers as forks of one interpreter, so that Swift is imported once. They die with
 * the launcher, and the launcher ends with its standard input: nothing outlives a test run that was killed.
 */
const LAUNCHER = `
import ctypes, logging, os, signal, sys
from swift.common import utils
folder, ports = sys.argv[1], dict(pair.split('=') for pair in sys.argv[2:])
utils.set_swift_dir(folder)
from swift.common.ring import RingBuilder
from swift.common.wsgi import run_wsgi
import swift.account.server, swift.common.middleware.s3api.s3api, swift.common.middleware.tempauth
import swift.container.server, swift.obj.server, swift.proxy.server

logging.disable(logging.WARNING)
for name in ('account', 'container', 'object'):
    port, builder = int(ports[name]), RingBuilder(2, 1, 1)
    builder.add_dev({'region': 1, 'zone': 1, 'weight': 1, 'device': 'disk', 'ip': '127.0.0.1', 'port': port,
                     'replication_ip': '127.0.0.1', 'replication_port': port})
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, name + '.ring.gz'))
logging.disable(logging.NOTSET)

launcher, children, libc = os.getpid(), [], ctypes.CDLL(None)
def fork(run):
    child = os.fork()
    if child:
        children.append(child)
        return
    libc.prctl(1, signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os._exit(run() or 0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)

user = ['-u', 'root'] if os.geteuid() == 0 else []
fork(lambda: os.execvp('memcached', ['memcached', '-l', '127.0.0.1', '-p', ports['cache'], '-m', '16', '-t', '1'] + user))
for name in ('account', 'container', 'object', 'proxy'):
    fork(lambda: run_wsgi(os.path.join(folder, name + '-server.conf'), name + '-server', verbose=True))
while os.read(0, 4096):
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
`

const SWIFT_CONF = `[swift-hash]
swift_hash_path_suffix = strongroom
swift_hash_path_prefix = test
[storage-policy:0]
name = default
default = yes
`

function common(folder: string, port: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${userInfo().username}
swift_dir = ${folder}
devices = ${join(folder, 'devices')}
mount_check = false
fallocate_reserve = 0
log_level = WARNING
`
}

function storageConf(folder: string, name: string, port: number): string {
  return `${common(folder, port)}[pipeline:main]
pipeline = ${name}-server
[app:${name}-server]
use = egg:swift#${name}
# A PUT or DELETE is answered once the listing knows of it, also on a busy machine. By default it waits a second for that, and
# what takes longer than three is left to a daemon that does not run here.
container_update_timeout = 60
conn_timeout = 10
node_timeout = 60
`
}

/** Random, so that a key which strays into a log is known for one. */
interface Login {
  user: string
  key: string
}

function proxyConf(folder: string, { ports, login }: { ports: Ports; login: Login }): string {
  return `${common(folder, ports.proxy)}[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
# A server that starts slowly, or answers slowly on a busy machine, must not be left out for the next minute.
error_suppression_limit = 1000000000
error_suppression_interval = 0
conn_timeout = 10
node_timeout = 60
recoverable_node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${ports.cache}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_${login.user} = ${login.key} .admin
`
}

interface Ports {
  proxy: number
  account: number
  container: number
  object: number
  cache: number
}

/** Starts Swift in a temporary folder on free loopback ports; resolves when it stores and deletes an object. */
export async function startSwift(): Promise<RunningS3> {
  const missing = [...PROGRAMS, '/usr/bin/memcached'].filter((program) => !existsSync(program))
  if (missing.length > 0) throw new Error(`Swift is not installed (${missing[0]}): ${INSTALL}`)
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-swift-'))
  const [proxy = 0, account = 0, container = 0, object = 0, cache = 0] = await freePorts(5)
  const ports = { proxy, account, container, object, cache }
  const [user, key] = [randomBytes(8).toString('hex'), randomBytes(16).toString('hex')]
  const login = { user: `tester-${user}`, key }
  await mkdir(join(folder, 'devices', 'disk'), { recursive: true })
  await writeFile(join(folder, 'launch.py'), LAUNCHER)
  await writeFile(join(folder, 'swift.conf'), SWIFT_CONF)
  for (const name of ['account', 'container', 'object'] as const) {
    await writeFile(join(folder, `${name}-server.conf`), storageConf(folder, name, ports[name]))
  }
  await writeFile(join(folder, 'proxy-server.conf'), proxyConf(folder, { ports, login }))
  const child = launch(folder, ports)
  const stop = async () => {
    child.stdin?.end()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    await rm(folder, { recursive: true, force: true })
  }
  const coordinates: S3Coordinates = {
    endpoint: `http://127.0.0.1:${ports.proxy}`,
    region: 'us-east-1',
    accessKey: `test:${login.user}`,
    secretKey: login.key,
  }
  try {
    await answers(coordinates, child)
  } catch (error) {
    const log = await readFile(join(folder, 'swift.log'), 'utf8').catch(() => '(no log)')
    await stop()
    throw new Error(`Swift did not start; the end of its log:\n${log.slice(-3000)}`, {
      cause: error,
    })
  }
  return { ...coordinates, stop }
}

function launch(folder: string, ports: Ports): ChildProcess {
  const log = openSync(join(folder, 'swift.log'), 'a')
  const args = Object.entries(ports).map(([name, port]) => `${name}=${port}`)
  const child = spawn('/usr/bin/python3', [join(folder, 'launch.py'), folder, ...args], {
    stdio: ['pipe', log, log],
    // A Ctrl-C in the terminal must reach the test runner only, which then stops us in order.
    detached: true,
  })
  closeSync(log)
  return child
}

/** Asks until an object can be stored and deleted: the servers listen one after the other. */
async function answers(coordinates: S3Coordinates, child: ChildProcess): Promise<void> {
  const admin = openAdmin(coordinates)
  const deadline = performance.now() + DEADLINE_MS
  try {
    for (let tries = 1; ; tries++) {
      try {
        // An earlier try may have made its bucket and failed after that.
        const Bucket = `first-words-${tries}`
        await admin.send(new CreateBucketCommand({ Bucket }))
        await admin.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'a' }))
        await admin.send(new DeleteObjectCommand({ Bucket, Key: 'a' }))
        await admin.send(new DeleteBucketCommand({ Bucket }))
        return
      } catch (error) {
        if (child.exitCode !== null || performance.now() > deadline) throw error
        await delay(50)
      }
    }
  } finally {
    admin.destroy()
  }
}

if (import.meta.main) {
  const swift = await startSwift()
  const { stop, ...coordinates } = swift
  process.stdout.write(`${JSON.stringify(coordinates)}\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stop().then(() => process.exit(0)))
  }
}
