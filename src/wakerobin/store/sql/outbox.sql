-- add --
-- Add a push, unless it was decided before. Where its app is known, so is its provider.
INSERT INTO outbox (slot, registration_id, generation, kind, step, lane, app, provider, not_before, try_at,
  deadline_at, attempts, payload)
VALUES (:slot, :registration_id, :generation, :kind, :step, :lane,
  CASE WHEN :app <> '' THEN :app
    ELSE coalesce((SELECT app FROM registration WHERE id = :registration_id), '') END,
  CASE WHEN :app <> '' THEN :provider
    ELSE coalesce((SELECT CASE WHEN min(provider) = max(provider) THEN min(provider) ELSE '' END
      FROM target WHERE registration_id = :registration_id AND instr(purposes, 'notice')), '') END,
  :not_before, :not_before, :deadline_at, :attempts, :payload)
ON CONFLICT (registration_id, generation, kind, step) DO NOTHING

-- first_queue --
-- Return the first queue of which something waits.
SELECT lane, app, provider FROM outbox ORDER BY lane, app, provider LIMIT 1

-- next_queue --
-- Return the queue after this one: one step in the index, however much waits in a queue. (SQLite would walk
-- through all that is equal for a comparison of row values.)
SELECT * FROM (SELECT lane, app, provider FROM outbox
  WHERE lane = :lane AND app = :app AND provider > :provider ORDER BY provider LIMIT 1)
UNION ALL
SELECT * FROM (SELECT lane, app, provider FROM outbox
  WHERE lane = :lane AND app > :app ORDER BY app, provider LIMIT 1)
UNION ALL
SELECT * FROM (SELECT lane, app, provider FROM outbox
  WHERE lane > :lane ORDER BY lane, app, provider LIMIT 1)
LIMIT 1

-- ready --
-- Count pushes that may be tried now, up to a limit.
SELECT count(*) FROM (SELECT 1 FROM outbox WHERE try_at <= :now LIMIT :limit)

-- due_of_few --
-- Return what `due` returns where few of many may be tried now, as in an outage: looks at those few.
SELECT id, slot, registration_id, generation, kind, step, not_before, deadline_at, attempts, payload, app,
  provider
FROM outbox INDEXED BY outbox_try
WHERE try_at <= :now AND lane = :lane AND app = :app AND provider = :provider
ORDER BY deadline_at, id LIMIT :limit

-- due --
-- Return pushes of a queue that may be tried now, the earliest deadline first.
SELECT id, slot, registration_id, generation, kind, step, not_before, deadline_at, attempts, payload, app,
  provider
FROM outbox WHERE lane = :lane AND app = :app AND provider = :provider AND try_at <= :now
ORDER BY deadline_at, id LIMIT :limit

-- companions --
-- Return pushes of one kind for other accounts of the same installation that may leave together with it.
SELECT outbox.id, outbox.slot, outbox.registration_id, generation, kind, step, not_before, deadline_at,
  attempts, payload, outbox.app, outbox.provider
FROM registration AS mine
  JOIN registration AS other
    ON other.app = mine.app AND other.installation = mine.installation AND other.id <> mine.id
  JOIN outbox ON outbox.registration_id = other.id
WHERE mine.id = :registration_id AND mine.installation <> '' AND kind = :kind
  AND (try_at <= :now OR (try_at = not_before AND not_before <= :until))
ORDER BY outbox.id LIMIT :limit

-- lease --
-- Hide a push that is being sent.
UPDATE outbox SET try_at = max(not_before, :until) WHERE id = :id

-- postpone --
-- Try a push again later.
UPDATE outbox SET not_before = :not_before, try_at = :not_before, attempts = :attempts,
  payload = coalesce(:payload, payload)
WHERE id = :id

-- remove --
-- Remove a push that is settled.
DELETE FROM outbox WHERE id = :id

-- void --
-- Remove what older generations planned for the life (core.pushes, OUTLIVES_USE).
DELETE FROM outbox WHERE registration_id = :registration_id AND generation < :below
  AND kind NOT IN ('missed-call', 'message', 'mwi', 'verify')

-- of_registration --
-- Return what waits for a registration, of one kind.
SELECT id, slot, registration_id, generation, kind, step, not_before, deadline_at, attempts, payload, app,
  provider
FROM outbox WHERE registration_id = :registration_id AND kind = :kind ORDER BY generation

-- next_due --
-- Return when the next push may be tried.
SELECT min(try_at) FROM outbox

-- forget_leases --
-- Take back what an earlier run of the server was sending when it ended.
UPDATE outbox SET try_at = not_before WHERE try_at <> not_before
