-- What somebody changed on the console, by the API or the command line: entered before it is done.
create table strongroom.admin_actions (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  action text not null,
  -- the console's session, the API, or the command line of a node
  actor text not null,
  client text,
  media_id bigint,
  details jsonb not null default '{}',
  -- null until it is known, and for ever where the process died before
  outcome text
);
create index admin_actions_of_media on strongroom.admin_actions (media_id, id) where media_id is not null;

-- A person has seen an item in this state; it counts again as soon as the state is another one.
create table strongroom.acknowledgements (
  item_id bigint primary key,
  state text not null,
  note text,
  at timestamptz not null default clock_timestamp()
);

-- The scrub reads these before any other.
alter table strongroom.items add column reading_wanted_at timestamptz;
create index items_reading_wanted on strongroom.items (reading_wanted_at) where reading_wanted_at is not null;

-- Pages of the items of one state, the newest first.
create index items_of_state on strongroom.items (state, id);

-- The words of title and file name. What is longer says nothing more, and would not fit into an index.
create index items_words on strongroom.items using gin (to_tsvector('simple', regexp_replace(
  left(coalesce(title, ''), 200) || ' ' || left(coalesce(filename, ''), 200), '[^[:alnum:]]+', ' ', 'g')));
