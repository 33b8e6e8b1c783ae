-- add --
-- Add what a phone reported of a push.
INSERT INTO receipt (registration_id, at, push_id, kind, push_type)
VALUES (:registration_id, :at, :push_id, :kind, :push_type)

-- of --
-- Return the last receipts of a registration, the newest first.
SELECT registration_id, at, push_id, kind, push_type FROM receipt
WHERE registration_id = :registration_id ORDER BY at DESC, id DESC LIMIT :limit

-- forget --
-- Remove old receipts, so many at once.
DELETE FROM receipt WHERE id IN (SELECT id FROM receipt WHERE at < :before ORDER BY at LIMIT :limit)
