-- Every file that was removed to make room: entered before it goes, its end afterwards.
create table strongroom.removals (
  id bigint generated always as identity primary key,
  begun_at timestamptz not null default clock_timestamp(),
  node text not null,
  area text not null check (area in ('errors', 'withdrawn', 'quarantine')),
  -- relative to ERROR_DIR for errors, to ARCHIVE_DIR otherwise
  path text not null,
  size_bytes bigint not null,
  item_id bigint not null,
  media_id bigint not null,
  reason text not null,
  -- null while nobody knows whether it is gone
  ended_at timestamptz,
  outcome text check (outcome in ('removed', 'gone', 'changed'))
);
create index removals_media on strongroom.removals (media_id);
