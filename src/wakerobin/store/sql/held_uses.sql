-- add --
-- Note a use whose end waits.
INSERT INTO held_use (registration_id) VALUES (:registration_id) ON CONFLICT DO NOTHING

-- first --
-- Return some of them.
SELECT registration_id FROM held_use ORDER BY registration_id LIMIT :limit

-- remove --
-- Remove one.
DELETE FROM held_use WHERE registration_id = :registration_id
