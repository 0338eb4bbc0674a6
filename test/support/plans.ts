/** How PostgreSQL carried out the very statements that the product sent, with the values that it sent. */
import postgres from 'postgres'
import type { DatabaseConfig } from '../../src/config.ts'
import type { Database } from '../../src/db/connect.ts'
import type { Scope } from './scopes.ts'

/** One reading of a table. */
export interface Reading {
  /** For example `Seq Scan` or `Index Only Scan`. */
  how: string
  table: string
  /** Rows looked at, also those that were thrown away; a search that found none counts as one. */
  rows: number
}

export interface Explained {
  text: string
  readings: Reading[]
  /** Names of the indexes that were read. */
  indexes: string[]
}

export interface WatchedDatabase {
  /** Runs and settles statements as the product's does, on one connection. */
  database: Database
  /** What was run since this was asked the last time. */
  explained(): Promise<Explained[]>
}

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  Plans?: Node[]
}

const NOTHING = 'select'

/** The server's own module auto_explain tells how each statement went while it was run. */
export function withWatchedDatabase(t: Scope, config: DatabaseConfig): WatchedDatabase {
  const { host, port, user, password, database } = config
  const explained: Explained[] = []
  const client = postgres({
    ...{ host, port, user, database, ...(password === null ? {} : { password }) },
    max: 1,
    fetch_types: false,
    onnotice: ({ message = '' }) => {
      const plan = /^duration: .*? plan:\n(.*)/s.exec(message)?.[1]
      if (plan !== undefined) explained.push(readPlan(plan))
    },
    connection: {
      client_min_messages: 'log',
      session_preload_libraries: 'auto_explain',
      'auto_explain.log_min_duration': '0',
      'auto_explain.log_analyze': 'on',
      'auto_explain.log_format': 'json',
    },
  })
  t.after(() => client.end())
  const run: Database['run'] = async (statement) => await statement(client)
  const unwatched = () => Promise.reject(new Error('this is not watched'))
  return {
    database: { run, settle: run, rehearse: unwatched, script: unwatched, close: unwatched },
    async explained() {
      // A plan may be told after its statement's answer, but never after the next one's.
      await client.unsafe(NOTHING)
      return explained.splice(0).filter(({ text }) => text !== NOTHING)
    },
  }
}

function readPlan(plan: string): Explained {
  const { 'Query Text': text, Plan } = JSON.parse(plan) as { 'Query Text': string; Plan: Node }
  return { text, readings: readingsOf(Plan), indexes: indexesOf(Plan) }
}

function indexesOf(node: Node): string[] {
  const own = node['Index Name']
  const below = (node.Plans ?? []).flatMap(indexesOf)
  return own === undefined || node['Actual Loops'] === 0 ? below : [own, ...below]
}

function readingsOf(node: Node): Reading[] {
  const below = (node.Plans ?? []).flatMap(readingsOf)
  const table = node['Relation Name']
  const loops = node['Actual Loops']
  if (table === undefined || !node['Node Type'].endsWith('Scan') || loops === 0) return below
  // PostgreSQL tells the mean of all loops, rounded.
  const mean =
    node['Actual Rows'] +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0)
  return [{ how: node['Node Type'], table, rows: Math.max(1, mean) * loops }, ...below]
}
