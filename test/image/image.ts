/** Claims about the image that scripts/image-test built; it runs them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { type Container, launch, readImage, run, type Start } from './container.ts'

const image = await readImage(process.env)

/** Each way to start it, and the user that must come of it. */
const starts: { title: string; start: Start; becomes: string }[] = [
  {
    title: 'started as root with PUID and PGID',
    start: { user: '0:0', env: { PUID: '1234', PGID: '2345' } },
    becomes: '1234:2345',
  },
  { title: 'started with --user 99:100', start: { user: '99:100' }, becomes: '99:100' },
  { title: 'started with --user 1000:1000', start: { user: '1000:1000' }, becomes: '1000:1000' },
]

const asRoot: (typeof starts)[number] = {
  title: 'started as root',
  start: { user: '0:0' },
  becomes: '99:100',
}

/** What `start` needs that is not there: it waits for the database, and serves meanwhile. */
const settings = {
  DB_HOST: '127.0.0.1',
  DB_NAME: 'app',
  DB_USER: 'strongroom',
  R2_ENDPOINT: 'http://127.0.0.1:1',
  R2_BUCKET: 'media',
  R2_ACCESS_KEY: 'none',
  R2_SECRET_KEY: 'none',
  UNRAID_TUNNEL_SECRET: 'a secret of 32 bytes or even more',
}
const healthCheck = image.config.Healthcheck.Test.slice(1)

describe('the image', { concurrency: 2 }, () => {
  for (const { title, start, becomes } of starts)
    test(`${title}, shows the whole life of an item as ${becomes} and hands its file out`, async (t) => {
      const media = await folderFor(t, becomes)
      const command = ['demo', '--dir', '/media/demo']
      const demo = await launch(t, image, { ...start, media, command })
      const [, link = ''] = await demo.says(/(http:\S+token=\S+)\n/)
      await demo.says(/Serving until Ctrl-C/)
      const path = decodeURIComponent(new URL(link).pathname).replace(/\/-$/, '')
      const archived = await readFile(join(media, 'demo/archive', path))
      const sha256 = createHash('sha256').update(archived).digest('hex')
      assert.equal(await download(demo, link), `200 ${sha256}`)
      assert.match(await download(demo, link.replace(/token=.*/, 'token=wrong')), /^401 /)
      const health = await demo.exec(healthCheck)
      assert.deepEqual([health.code, health.stderr], [0, ''])
      const ended = await demo.signal('TERM')
      assert.equal(ended.code, 0, ended.stdout + ended.stderr)
      assert.deepEqual(await ownersIn(join(media, 'demo')), [becomes])
    })

  for (const { title, start, becomes } of [asRoot, ...starts])
    test(`${title}, is healthy while it waits for its database, and SIGTERM ends it with 0`, async (t) => {
      const media = await folderFor(t, becomes)
      const env = { ...settings, ...start.env }
      const service = await launch(t, image, { ...start, media, env })
      await service.says(/waiting for the database/)
      const health = await service.exec(healthCheck)
      assert.deepEqual([health.code, health.stderr], [0, ''])
      assert.equal(await commandOfProcess(service, 1), 'tini')
      const ended = await service.signal('TERM')
      assert.equal(ended.code, 0, ended.stdout + ended.stderr)
    })

  test('says in its health check that nothing is served', async () => {
    const ran = await run(image, { user: '99:100', entrypoint: healthCheck, command: [] })
    assert.deepEqual([ran.code, ran.stdout], [1, ''])
    assert.match(ran.stderr, /nothing healthy answers/)
  })

  test('starts tini, which starts the program, without being given a user', () => {
    const { Entrypoint, Cmd, User, Healthcheck } = image.config
    assert.deepEqual(Entrypoint, ['/usr/bin/tini', '-s', '--', 'strongroom'])
    assert.deepEqual([Cmd, User], [['start'], ''])
    assert.deepEqual(Healthcheck.Test, ['CMD', 'strongroom', 'health'])
  })

  test('holds the program and its libraries, and nothing of the workshop', async () => {
    const app = join(image.rootfs, 'app')
    const expected = ['LICENSE', 'bin', 'deploy', 'docs', 'node_modules', 'package.json', 'src']
    assert.deepEqual((await readdir(app)).sort(), expected)
    assert.deepEqual(await readdir(join(app, 'deploy')), ['entrypoint.sh'])
    const { dependencies, devDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
    const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8'))
    for (const name of Object.keys(dependencies)) await stat(join(app, 'node_modules', name))
    // What a library needs as well is there for it.
    const dev = Object.keys(devDependencies).filter((name) => packages[`node_modules/${name}`].dev)
    assert.ok(dev.includes('typescript'))
    for (const name of dev)
      await assert.rejects(stat(join(app, 'node_modules', name)), { code: 'ENOENT' })
  })

  test('contains no settings of the package registry that it was built with', async () => {
    for (const place of ['root/.npmrc', 'usr/local/etc/npmrc', 'app/.npmrc']) {
      const found = await stat(join(image.rootfs, place)).catch(() => ({ size: 0 })) // absent is best
      assert.equal(found.size, 0, place)
    }
  })

  test('runs the version that package.json names', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8'))
    const ran = await run(image, { user: '99:100', command: ['--version'] })
    assert.deepEqual([ran.code, ran.stdout.trim(), ran.stderr], [0, version, ''])
  })
})

describe('what is wrong is said at once', { concurrency: 2 }, () => {
  const refusal = async (start: Partial<Start>) => {
    const env = { ...settings, ...start.env }
    const { code, stdout, stderr } = await run(image, { user: '99:100', ...start, env })
    assert.equal(stdout, '')
    assert.match(stderr, /^strongroom: [^\n]+\n( {2}[^\n]+\n)?$/)
    return { code, said: stderr }
  }

  test('an ARCHIVE_DIR on no mounted volume is refused by name', async () => {
    const { code, said } = await refusal({})
    assert.equal(code, 74)
    assert.match(said, /ARCHIVE_DIR \/media\/archive is on no mounted volume/)
  })

  test('an ERROR_DIR beside the volume is refused by name', async (t) => {
    const media = await folderFor(t, '99:100')
    const { code, said } = await refusal({ media, env: { ERROR_DIR: '/tmp/errors' } })
    assert.equal(code, 74)
    assert.match(said, /ERROR_DIR \/tmp\/errors is on no mounted volume/)
  })

  for (const [folder, setting] of [
    ['archive', 'ARCHIVE_DIR'],
    ['errors', 'ERROR_DIR'],
  ] as const)
    test(`the ${setting} of another user is named with the chown that helps`, async (t) => {
      const media = await folderFor(t, '99:100')
      await chown(join(media, folder), 0, 0)
      const { code, said } = await refusal({ media })
      assert.equal(code, 74)
      const advice = await follow(media, said, /as root run: (.*)/)
      assert.equal(advice, `chown 99:100 /media/${folder}`)
      await startsWell(t, media)
    })

  test('a missing archive is made and owned in two refusals', async (t) => {
    const media = await folderFor(t, '99:100')
    await rm(join(media, 'archive'), { recursive: true })
    const missing = await refusal({ media })
    assert.equal(missing.code, 74)
    await follow(media, missing.said, /\((mkdir .*)\)/)
    const owned = await refusal({ media })
    await follow(media, owned.said, /as root run: (.*)/)
    await startsWell(t, media)
  })

  test('a file server alone takes an archive that it may only read', async (t) => {
    const media = await folderFor(t, '0:0')
    const command = ['start', '--role', 'serve']
    const service = await launch(t, image, { user: '99:100', media, env: settings, command })
    await service.says(/listening/)
    assert.equal((await service.signal('TERM')).code, 0)
  })

  for (const env of [{ PUID: '0' }, { PUID: 'nobody' }, { PGID: '-1' }, { PGID: '10 0' }])
    test(`${JSON.stringify(env)} is refused`, async () => {
      const { code, said } = await refusal({ user: '0:0', env })
      assert.equal(code, 78)
      assert.match(said, /PUID and PGID must be numbers/)
    })

  test('root without the right to give up root is told how to start it', async () => {
    const { code, said } = await refusal({ user: '0:0', withoutCapabilities: true })
    assert.equal(code, 77)
    assert.match(said, /start with --user 99:100/)
  })
})

/** A volume with archive and errors that belong to `owner`; it is gone after the test. */
async function folderFor(t: TestContext, owner: string): Promise<string> {
  const [uid = 0, gid = 0] = owner.split(':').map(Number)
  const media = await mkdtemp(join(image.work, 'media-'))
  t.after(() => rm(media, { recursive: true, force: true }))
  for (const folder of [media, join(media, 'archive'), join(media, 'errors')]) {
    await mkdir(folder, { recursive: true })
    await chmod(folder, 0o755)
    await chown(folder, uid, gid)
  }
  return media
}

/** Runs what was advised, letter by letter, as root in a container on the same volume. */
async function follow(media: string, said: string, wording: RegExp): Promise<string> {
  const advice = wording.exec(said)?.[1] ?? assert.fail(said)
  const entrypoint = ['/bin/sh', '-c']
  const ran = await run(image, { user: '0:0', media, entrypoint, command: [advice] })
  assert.deepEqual([ran.code, ran.stderr], [0, ''], advice)
  return advice
}

async function startsWell(t: TestContext, media: string): Promise<void> {
  const service = await launch(t, image, { user: '99:100', media, env: settings })
  await service.says(/waiting for the database/)
  assert.equal((await service.signal('TERM')).code, 0)
}

async function ownersIn(folder: string): Promise<string[]> {
  const owners = new Set<string>()
  for (const path of await readdir(folder, { recursive: true })) {
    const { uid, gid } = await stat(join(folder, path))
    owners.add(`${uid}:${gid}`)
  }
  return [...owners]
}

/** Asks from inside, with the image's own Node. @returns status and SHA-256 of the body */
async function download(container: Container, url: string): Promise<string> {
  const script = `const answer = await fetch(process.argv[1])
    const body = Buffer.from(await answer.arrayBuffer())
    console.log(answer.status, require('node:crypto').createHash('sha256').update(body).digest('hex'))`
  const ran = await container.exec(['node', '-e', `(async () => { ${script} })()`, url])
  assert.deepEqual([ran.code, ran.stderr], [0, ''])
  return ran.stdout.trim()
}

async function commandOfProcess(container: Container, pid: number): Promise<string> {
  return (await container.exec(['cat', `/proc/${pid}/comm`])).stdout.trim()
}
