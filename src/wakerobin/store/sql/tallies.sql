-- add --
-- Count something.
INSERT INTO tally (day, app, platform, name, count) VALUES (:day, :app, :platform, :name, :count)
ON CONFLICT (day, app, platform, name) DO UPDATE SET count = count + excluded.count

-- since --
-- Return the counts of a day and later.
SELECT app, platform, day, name, count FROM tally WHERE day >= :day ORDER BY app, platform, day, name

-- forget --
-- Remove the counts of days before.
DELETE FROM tally WHERE day < :before
