-- When the archived file was last read whole, and what was wrong with it then.
alter table strongroom.items add column verified_at timestamptz;
alter table strongroom.items add column damage text;
-- Until then one node has it in hand; another one that reads it too only wastes time.
alter table strongroom.items add column scrub_until timestamptz;

create index items_scrub on strongroom.items ((coalesce(verified_at, archived_at, created_at)))
  where state in ('archived', 'releasing', 'released', 'source_differs', 'lost', 'kept');
create index items_damaged on strongroom.items (verified_at) where damage is not null;
