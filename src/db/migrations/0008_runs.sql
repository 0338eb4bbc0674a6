-- One row for each time that a job was done, or was to be.
create table strongroom.runs (
  id bigint generated always as identity primary key,
  job text not null,
  trigger text not null,
  mode text not null,
  status text not null check (status in (
    'pending', 'running', 'success', 'partial', 'failed', 'cancelled', 'skipped')),
  node text not null,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,

  -- who holds it, and until when it counts as alive; a run whose time is over was cut off
  worker uuid unique,
  lease_until timestamptz,
  -- of a job of which one run at a time may be under way: the job's name
  alone text,
  -- runs in a row that failed for the same reason, within one outage, share a row
  attempts integer not null default 1,

  items jsonb not null default '{}',
  bytes bigint not null default 0,
  error_code text,
  error_message text,
  error_hint text,
  log text
);
create unique index runs_alone on strongroom.runs (alone) where status = 'running';
-- Who asks twice for the same gets one run.
create unique index runs_pending on strongroom.runs (job) where status = 'pending';
create index runs_running on strongroom.runs (lease_until) where status = 'running';
create index runs_by_job on strongroom.runs (job, id desc);
-- When a job last came to its end.
create index runs_well on strongroom.runs (job, ended_at desc) where status in ('success', 'partial');
create index runs_old on strongroom.runs (started_at);

-- What became of each item in a run.
create table strongroom.run_events (
  id bigint generated always as identity primary key,
  run_id bigint not null references strongroom.runs (id) on delete cascade,
  at timestamptz not null default clock_timestamp(),
  item_id bigint,
  media_id bigint,
  outcome text not null,
  reason text,
  archive_path text,
  size_bytes bigint
);
create index run_events_by_run on strongroom.run_events (run_id, id);
