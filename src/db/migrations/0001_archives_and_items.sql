-- The archive volume that this database belongs to: one row, made by the first start.
create table strongroom.archives (
  id uuid primary key,
  created_at timestamptz not null default now(),
  -- set once the marker file with this id is durable on the volume
  initialised_at timestamptz,
  -- latched by two failed writes in a row; stops claims, records and releases until cleared by hand
  sick_at timestamptz,
  sick_reason text,
  release_paused_at timestamptz,
  release_paused_reason text
);
create unique index archives_only_one on strongroom.archives ((true));

-- What a bucket was seen to honour.
create table strongroom.buckets (
  id text primary key,
  conditional_delete boolean not null,
  probed_at timestamptz not null default now()
);

-- One row per version (generation) of a media row.
create table strongroom.items (
  id bigint generated always as identity primary key,
  media_id bigint not null,
  generation integer not null,
  archive_id uuid not null references strongroom.archives (id) on update cascade,
  state text not null check (state in (
    'claimed', 'publishing', 'waiting', 'missing', 'held', 'rejected', 'withdrawing', 'withdrawn',
    'archived', 'releasing', 'released', 'source_differs', 'lost', 'kept')),

  -- what the media row said when it was claimed
  user_id bigint,
  title text,
  filename text,
  content_type text,
  mime_type text,
  declared_bytes bigint,
  object_key text not null,
  approved_at timestamptz not null,

  -- the lease
  epoch integer not null default 1,
  lease_owner text,
  lease_until timestamptz,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),

  -- the intent: committed before any final name appears on disk
  archive_path text unique,
  sha256 text,
  size_bytes bigint,
  bucket text,
  etag text,
  version_id text,
  last_modified timestamptz,
  probe jsonb,
  proof jsonb,
  filed_at timestamptz,

  error_code text,
  error_message text,
  archived_at timestamptz,
  release_due timestamptz,
  released_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),

  unique (media_id, generation)
);

-- At most one open item per media row; also the arbiter of the claim.
create unique index items_one_open on strongroom.items (media_id)
  where state in ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing');

-- What a crash left, by the end of its lease.
create index items_leased on strongroom.items (lease_until)
  where state in ('claimed', 'publishing', 'withdrawing', 'releasing');

create index items_release_due on strongroom.items (release_due) where state = 'archived';

-- For the rule that a source stays while another row with the same key is not archived.
create index items_object_key on strongroom.items (object_key);
