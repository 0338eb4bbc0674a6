import { Command, CommanderError } from 'commander'
import { addAdoption } from './cli/adoption.ts'
import { addHistory } from './cli/history.ts'
import { addInspection } from './cli/inspection.ts'
import { addToken } from './cli/links.ts'
import { addNotify } from './cli/notify.ts'
import { addPerson } from './cli/person.ts'
import { addService } from './cli/service.ts'
import { withOwnHelp } from './cli/session.ts'
import { addShadow } from './cli/shadow.ts'
import { addSpace } from './cli/space.ts'
import { addVolume } from './cli/volume.ts'
import { withEnvFile } from './config/env-file.ts'
import { toAppError } from './errors.ts'
import type { Host } from './host.ts'

const exitCodes = `
Exit codes: 0 done, for start also stopped by a signal with the work in hand finished; 1 failed, unhealthy, or a
sync that a signal cut short; 64 wrong usage; 69 database, bucket or ffprobe not reachable, a port taken or a
clock off; 70 internal error; 74 archive missing, foreign, full or failing, or not what was archived; 75 done, but
some items need another run or a person; 77 access refused; 78 wrong configuration.`

/** Runs one command line. @returns the exit code */
export async function runCli(process: Host, args: readonly string[]): Promise<number> {
  let code = 0
  const host = { ...process }
  const program = describe(host, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64
    return report(host, error)
  }
}

/** One clear error: what is wrong and what to do. */
function report(host: Host, thrown: unknown): number {
  const error = toAppError(thrown)
  host.err(`strongroom: ${error.message}\n`)
  host.err(`  ${error.hint}\n`)
  if (error.code === 'INTERNAL' && error.cause instanceof Error) host.err(`${error.cause.stack}\n`)
  return error.exit
}

function describe(host: Host, done: (code: number) => void): Command {
  const cli = new Command('strongroom')
    .description(
      'Moves approved media out of object storage into an archive you own, and serves them.',
    )
    .version(host.version)
    .option(
      '--env-file <file>',
      'read settings from NAME=value lines, each value as it is, like "docker run --env-file"',
    )
    .hook('preAction', (root) => {
      const { envFile } = root.opts<{ envFile?: string }>()
      if (envFile !== undefined) host.env = withEnvFile(host.env, envFile, host.readFile)
    })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.out(text),
      writeErr: (text) => host.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'strongroom: ')),
    })
    .addHelpText('after', exitCodes)
    .showHelpAfterError('  "strongroom --help" lists the commands')
  const command = (name: string, description: string) =>
    withOwnHelp(cli.command(name).description(description), name)
  addService(host, command, done)
  addVolume(host, command)
  addAdoption(host, command, done)
  addShadow(host, command, done)
  addInspection(host, command, done)
  addSpace(host, command, done)
  addHistory(host, command)
  addToken(host, command)
  addPerson(host, command)
  addNotify(host, command, done)
  return cli
}
