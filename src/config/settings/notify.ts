import * as notify from '../notify-values.ts'
import type { Settings } from '../setting.ts'
import * as read from '../values.ts'

export const notifySettings = {
  NOTIFY_ON: {
    fallback: 'failure,recovery',
    reader: notify.someOf('failure', 'recovery', 'always', 'digest'),
    help: 'What is told, with commas between: failure (something begins to fail, once, or a run left items to a person), recovery (it works again), always (both, and every other run), digest (what happened, at NOTIFY_DIGEST).',
    example: 'failure,recovery,digest',
  },
  NOTIFY_DIGEST: {
    fallback: '0 8 * * *',
    reader: notify.cron,
    help: 'When the digest is sent, a cron expression read in TZ.',
    example: '0 8 * * MON',
  },
  NOTIFY_SLACK_URL: {
    secret: true,
    reader: notify.serviceUrl('https://hooks.slack.com/services/…', /^\/./),
    help: 'Slack: address of an incoming webhook.',
    example: 'https://hooks.slack.com/services/T000/B000/XXXX',
  },
  NOTIFY_DISCORD_URL: {
    secret: true,
    reader: notify.serviceUrl('https://discord.com/api/webhooks/…', /^\/./),
    help: 'Discord: address of a channel’s webhook.',
    example: 'https://discord.com/api/webhooks/123/XXXX',
  },
  NOTIFY_NTFY_URL: {
    secret: true,
    reader: notify.serviceUrl('https://ntfy.sh/TOPIC', /^\/(?:.*\/)?[\w-]{1,64}$/),
    help: 'ntfy: address of the topic, on ntfy.sh or your own server; whoever knows it can read it.',
    example: 'https://ntfy.sh/a-topic-nobody-guesses',
  },
  NOTIFY_NTFY_TOKEN: {
    secret: true,
    reader: read.secretText,
    help: 'Access token for that topic, where it is protected.',
    example: 'tk_XXXX',
  },
  NOTIFY_APPRISE_URL: {
    secret: true,
    reader: notify.serviceUrl('https://apprise.example.org/notify/KEY', /\/notify\/[^/]+\/?$/),
    help: 'Apprise API: address of a stored configuration; it passes the message on to any of its services.',
    example: 'http://apprise.lan:8000/notify/strongroom',
  },
  NOTIFY_WEBHOOK_URL: {
    secret: true,
    reader: notify.serviceUrl('https://example.org/strongroom'),
    help: 'A service of your own that gets each message as JSON (docs/notifications.md).',
    example: 'https://example.org/hooks/strongroom',
  },
  NOTIFY_WEBHOOK_SECRET: {
    secret: true,
    reader: read.secretText,
    help: 'Key that signs what is sent there (HMAC-SHA256 as Standard Webhooks has it: its text, or after whsec_ in base64).',
    example: '"$(openssl rand -hex 32)"',
  },
  NOTIFY_SMTP_URL: {
    secret: true,
    reader: notify.smtpUrl,
    help: 'Mail server: smtps:// for TLS from the first byte, smtp:// for STARTTLS.',
    example: 'smtps://strongroom:PASSWORD@mail.example.org:465',
  },
  NOTIFY_EMAIL_FROM: {
    reader: notify.sender,
    help: 'Sender of the mails.',
    example: 'strongroom@example.org',
  },
  NOTIFY_EMAIL_TO: {
    reader: notify.recipients,
    help: 'Who gets them, with commas between.',
    example: 'admin@example.org',
  },
  NOTIFY_PING_URL: {
    secret: true,
    reader: notify.serviceUrl('https://hc-ping.com/UUID', /^\/./),
    help: 'healthchecks.io, or a service like it: told when a sync starts (/start), ends well, or fails (/fail); it raises the alarm when nothing comes.',
    example: 'https://hc-ping.com/UUID',
  },
  NOTIFY_KUMA_URL: {
    secret: true,
    reader: notify.serviceUrl('https://kuma.example.org/api/push/TOKEN', /\/api\/push\/[^/]+$/),
    help: 'Uptime Kuma: address of a push monitor, told up or down when a sync ends.',
    example: 'http://kuma.lan:3001/api/push/TOKEN',
  },
  NOTIFY_ALLOW_PRIVATE: {
    reader: notify.ownNetwork,
    help: 'Hosts, addresses and ranges of your own network that messages may go to, without TLS too; all others must be public and use https.',
    example: 'ntfy.lan,192.168.1.0/24',
  },
  TUNNEL_METRICS_URL: {
    reader: read.endpoint,
    help: 'Metrics address of cloudflared: "start" asks its /ready every 15 seconds and tells when the tunnel goes down and comes back. cloudflared has to listen there: in deploy/compose.yaml both its --metrics and its health check name 127.0.0.1:20241, which only its own container reaches; make that 0.0.0.0:2000 and 127.0.0.1:2000.',
    example: 'http://cloudflared:2000',
  },
  ADMIN_URL: {
    reader: read.publicUrl,
    help: 'Where you reach the admin port from your desk; links in messages begin with it.',
    example: 'http://nas.lan:8081',
  },
} as const satisfies Settings
