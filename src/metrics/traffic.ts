import { Counter, Gauge, type Registry } from 'prom-client'
import type { Traffic } from '../serve/traffic.ts'

/** Statuses that files are answered with; they stand at 0 from the start, so that the first one shows as an increase. */
const STATUSES = [200, 206, 304, 400, 401, 403, 404, 410, 412, 416, 429, 500, 503]

/** What the file server does; looked up when somebody asks, so that a download costs no more than it did. */
export function addTrafficMetrics(registry: Registry, traffic: Traffic): void {
  const registers = [registry]
  new Counter({
    name: 'strongroom_downloads_total',
    help: 'Requests to the file server that were answered, by HTTP status; health checks are not counted.',
    labelNames: ['status'],
    registers,
    collect() {
      this.reset()
      for (const status of STATUSES) this.inc({ status }, 0)
      for (const [status, count] of traffic.ended) this.inc({ status }, count)
    },
  })
  new Counter({
    name: 'strongroom_downloads_cut_total',
    help: 'Answers that broke off before their end: the visitor left, stood still, or the disk failed.',
    registers,
    collect() {
      this.reset()
      this.inc(traffic.cut)
    },
  })
  new Counter({
    name: 'strongroom_served_bytes_total',
    help: 'Bytes of archived files that visitors took, those under way included; what a front sends in our place is not known.',
    registers,
    collect() {
      this.reset()
      this.inc(traffic.bytes)
    },
  })
  new Gauge({
    name: 'strongroom_downloads_active',
    help: 'Answers of files that are under way.',
    registers,
    collect() {
      this.set(traffic.underWay)
    },
  })
  new Counter({
    name: 'strongroom_token_failures_total',
    help: 'Requests that were refused for their token, by reason, as the log tells it.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset()
      for (const reason of ['missing', 'signature', 'expired']) this.inc({ reason }, 0)
      for (const [reason, count] of traffic.refused) this.inc({ reason }, count)
    },
  })
}
