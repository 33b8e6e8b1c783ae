-- add --
-- Add an event.
INSERT INTO story (subject, at, event, details) VALUES (:subject, :at, :event, :details)

-- of --
-- Return the last events of a subject, the newest first.
SELECT subject, at, event, details FROM story WHERE subject = :subject ORDER BY at DESC, id DESC LIMIT :limit

-- erase --
-- Remove the events of a subject.
DELETE FROM story WHERE subject = :subject

-- forget --
-- Remove old events, so many at once.
DELETE FROM story WHERE id IN (SELECT id FROM story WHERE at < :before ORDER BY at LIMIT :limit)
