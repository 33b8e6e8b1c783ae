-- put --
-- Note that an app registers at its PBX itself, or does so again.
INSERT INTO stepped_aside (registration_id, since_at) VALUES (:registration_id, :since_at)
ON CONFLICT (registration_id) DO UPDATE SET since_at = excluded.since_at

-- get --
-- Return since when an app does.
SELECT since_at FROM stepped_aside WHERE registration_id = :registration_id

-- page --
-- Return which apps do, and since when.
SELECT registration_id, since_at FROM stepped_aside
WHERE registration_id > :after ORDER BY registration_id LIMIT :limit

-- remove --
-- Note that an app does no more.
DELETE FROM stepped_aside WHERE registration_id = :registration_id
