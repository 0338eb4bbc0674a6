-- What people were told is failing, or works again: a process that begins says nothing twice, and whatever
-- could not be delivered before the last one ended.
create table strongroom.told (
  -- a job, or a part that is watched
  subject text primary key,
  since timestamptz not null,
  title text not null,
  -- false: they were told that it works again; rows stay, for the right to delete is not asked for
  failing boolean not null,
  -- where it is several things, a name of each
  cases jsonb not null,
  told_at timestamptz not null default clock_timestamp()
);
