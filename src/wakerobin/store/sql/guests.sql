-- get --
-- Return a guest.
SELECT number, app, aor, sealed, said, registered_at, expires_at, step FROM guest WHERE number = :number

-- of_aor --
-- Return the guests of an AOR.
SELECT number, app, aor, sealed, said, registered_at, expires_at, step
FROM guest WHERE aor = :aor ORDER BY number

-- of_resource --
-- Return the guests with one push resource.
SELECT number, app, aor, sealed, said, registered_at, expires_at, step
FROM guest WHERE resource = :resource ORDER BY number

-- page --
-- Return a page of guests.
SELECT number, app, aor, sealed, said, registered_at, expires_at, step
FROM guest WHERE number > :after ORDER BY number LIMIT :limit

-- put --
-- Store or replace a guest.
INSERT INTO guest (number, app, aor, resource, sealed, said, registered_at, expires_at, step, next_at)
VALUES (:number, :app, :aor, :resource, :sealed, :said, :registered_at, :expires_at, :step, :next_at)
ON CONFLICT (number) DO UPDATE SET app = excluded.app, aor = excluded.aor, resource = excluded.resource,
  sealed = excluded.sealed,  said = excluded.said, registered_at = excluded.registered_at, expires_at = excluded.expires_at,
  step = excluded.step, next_at = excluded.next_at

-- remove --
-- Forget a guest.
DELETE FROM guest WHERE number = :number

-- due --
-- Return guests that are due, the longest due first.
SELECT number, app, aor, sealed, said, registered_at, expires_at, step
FROM guest WHERE next_at <= :now ORDER BY next_at, number LIMIT :limit

-- next_due --
-- Return when the next guest is due.
SELECT min(next_at) FROM guest

-- count --
-- Count the guests.
SELECT count(*) FROM guest
