-- Tokens that open nothing any more although they are signed right and have not expired.
create table strongroom.revocations (
  id bigint generated always as identity,
  -- 'jti:' and that claim of the token, or 'sha256:' and the digest of a token without one
  subject text primary key,
  revoked_at timestamptz not null default now(),
  -- until when a token that is meant can be valid; null where nobody knows
  expires_at timestamptz
);
create index revocations_expiring on strongroom.revocations (expires_at) where expires_at is not null;
