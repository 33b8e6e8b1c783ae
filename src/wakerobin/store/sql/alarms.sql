-- put --
-- Raise an alarm; one that stands already keeps the time of its beginning.
INSERT INTO alarm (name, since_at, words) VALUES (:name, :since_at, :words)
ON CONFLICT (name) DO UPDATE SET words = excluded.words WHERE words <> excluded.words

-- clear --
-- Take an alarm back.
DELETE FROM alarm WHERE name = :name

-- all --
-- Return the alarms that stand, the oldest first.
SELECT name, since_at, words FROM alarm ORDER BY since_at, name
