import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Scope } from '../support/scopes.ts'

const strings = z.array(z.string())
const described = z.object({
  User: z.string().default(''),
  Env: strings,
  Cmd: strings,
  Entrypoint: strings,
  WorkingDir: z.string(),
  Healthcheck: z.object({ Test: strings }),
})

/** What scripts/image-test built, unpacked. */
export interface Image {
  rootfs: string
  /** A folder for bundles, volumes and the runtime's state. */
  work: string
  /** As the image says how to run it. */
  config: z.infer<typeof described>
}

/** @param env IMAGE_TEST_ROOT and IMAGE_TEST_WORK, as scripts/image-test sets them */
export async function readImage(env: NodeJS.ProcessEnv): Promise<Image> {
  const { IMAGE_TEST_ROOT: rootfs, IMAGE_TEST_WORK: work } = env
  if (!rootfs || !work) throw new Error('run this by scripts/image-test')
  const text = await readFile(join(work, 'image.json'), 'utf8')
  const { Docker } = z.object({ Docker: z.object({ config: described }) }).parse(JSON.parse(text))
  return { rootfs, work, config: Docker.config }
}

/** How a container is started, as one would with `docker run`. */
export interface Start {
  /** `0:0` gets Docker's default capabilities and a writable root; others none, a read-only root, no new privileges. */
  user: string
  /** Of the host, mounted at /media. */
  media?: string
  env?: Record<string, string>
  /** Instead of the image's CMD. */
  command?: string[]
  /** Instead of the image's ENTRYPOINT. */
  entrypoint?: string[]
  /** Also root starts with nothing: `--cap-drop ALL`. */
  withoutCapabilities?: boolean
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface Container {
  /** What `docker exec` does: the same user and rights. */
  exec(args: string[]): Promise<Ended>
  /** Resolves with the match as soon as one of its streams has it; rejects when it ends without. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends the signal to process 1. */
  signal(name: 'TERM' | 'KILL'): Promise<Ended>
  ended: Promise<Ended>
}

const dockerCapabilities = [
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE',
  'SYS_CHROOT KILL AUDIT_WRITE',
].flatMap((line) => line.split(' ').map((name) => `CAP_${name}`))

/** Runs one container to its end. */
export async function run(image: Image, start: Start): Promise<Ended> {
  return (await create(image, start)).ended
}

/** Starts one that is gone after the test, however that ends. */
export async function launch(t: Scope, image: Image, start: Start): Promise<Container> {
  const container = await create(image, start)
  t.after(() => container.signal('KILL'))
  return container
}

/** Makes a container with process, mount, IPC and network namespaces of its own; it reaches nothing but itself. */
async function create(image: Image, start: Start): Promise<Container> {
  const id = `strongroom-${randomUUID()}`
  const bundle = join(image.work, id)
  await mkdir(bundle)
  const write = async (name: string, value: object) => {
    const path = join(bundle, name)
    await writeFile(path, JSON.stringify(value))
    return path
  }
  const crun = (args: string[]) =>
    spawn('crun', ['--root', join(image.work, 'crun'), '--cgroup-manager=disabled', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const first = processOf(image, start)
  await writeFile(join(bundle, 'hosts'), '127.0.0.1 localhost\n')
  await write('config.json', specOf(image, start, { process: first, bundle }))
  const { ended, says } = listenTo(crun(['run', '--bundle', bundle, id]))
  return {
    ended,
    says,
    async exec(args) {
      const path = await write(`${randomUUID()}.json`, { ...first, args })
      return listenTo(crun(['exec', '--process', path, id])).ended
    },
    async signal(name) {
      await listenTo(crun(['kill', id, name])).ended
      return ended
    },
  }
}

/** Keeps what a process says from its first word on, for whoever asks later. */
function listenTo(child: ChildProcess): Pick<Container, 'ended' | 'says'> {
  const texts = { stdout: '', stderr: '' }
  const heard = new Set<() => void>()
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      texts[stream] += text
      for (const look of heard) look()
    })
  const end = Promise.withResolvers<Ended>()
  child.on('error', end.reject).on('close', (code) => end.resolve({ code, ...texts }))
  const says = async (pattern: RegExp) => {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = () => {
      const match = pattern.exec(texts.stdout) ?? pattern.exec(texts.stderr)
      if (match !== null) resolve(match)
    }
    heard.add(look)
    look()
    const tooEarly = (cause?: unknown) =>
      reject(new Error(`ended before ${pattern}:\n${texts.stdout}${texts.stderr}`, { cause }))
    end.promise.then(tooEarly, tooEarly)
    return promise.finally(() => heard.delete(look))
  }
  return { ended: end.promise, says }
}

/** The first process as the OCI runtime specification describes it. */
function processOf({ config }: Image, start: Start): object {
  const [uid, gid] = start.user.split(':').map(Number)
  const names = isBare(start) ? [] : dockerCapabilities
  const env = Object.entries(start.env ?? {}).map(([name, value]) => `${name}=${value}`)
  return {
    user: { uid, gid },
    cwd: config.WorkingDir,
    env: [...config.Env, ...env],
    args: [...(start.entrypoint ?? config.Entrypoint), ...(start.command ?? config.Cmd)],
    noNewPrivileges: isBare(start),
    capabilities: { bounding: names, effective: names, permitted: names, inheritable: [] },
  }
}

/** The container around it. */
function specOf(
  image: Image,
  start: Start,
  { process, bundle }: { process: object; bundle: string },
): object {
  return {
    ociVersion: '1.0.0',
    process,
    root: { path: image.rootfs, readonly: isBare(start) },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'mode=1777'] },
      bind(join(bundle, 'hosts'), '/etc/hosts', 'ro'),
      ...(start.media === undefined ? [] : [bind(start.media, '/media', 'rw')]),
    ],
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
    },
  }
}

function isBare(start: Start): boolean {
  return start.user !== '0:0' || start.withoutCapabilities === true
}

function bind(source: string, destination: string, mode: 'ro' | 'rw'): object {
  return { destination, type: 'bind', source, options: ['bind', mode] }
}
