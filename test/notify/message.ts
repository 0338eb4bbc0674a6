import type { Message } from '../../src/notify/message.ts'
import type { Run } from '../../src/runs.ts'

export function aMessage(facts: Partial<Message> = {}): Message {
  return {
    id: '0b1f4f6e-2f39-4c66-8d5e-5a2b9c1d7e3f',
    at: new Date('2026-03-05T04:30:00Z'),
    kind: 'failure',
    subject: 'sync',
    title: 'sync is failing',
    lines: ['the bucket does not answer', 'Next: check R2_ENDPOINT'],
    facts: [
      ['status', 'failed'],
      ['archived', '3'],
    ],
    link: 'http://nas.lan:8081/runs/7',
    node: 'nas',
    run: null,
    ...facts,
  }
}

export function aRun(facts: Partial<Run> = {}): Run {
  return {
    id: 7,
    job: 'sync',
    trigger: 'schedule',
    mode: 'live',
    status: 'success',
    node: 'nas',
    startedAt: new Date('2026-03-05T04:30:00Z'),
    endedAt: new Date('2026-03-05T04:30:12Z'),
    attempts: 1,
    items: { archived: 3 },
    bytes: 4_096,
    error: null,
    ...facts,
  }
}
