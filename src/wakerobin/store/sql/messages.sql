-- add --
-- Keep that a message came; its content follows, sealed for its row.
INSERT INTO message (account_id, public_id, received_at, expires_at, sealed)
VALUES (:account_id, :public_id, :received_at, :expires_at, x'')
ON CONFLICT DO NOTHING RETURNING id

-- seal --
-- Add the content.
UPDATE message SET sealed = :sealed WHERE id = :id

-- await --
-- Let a push registration wait for a message.
INSERT INTO message_for (registration_id, message_id, fetched_at) VALUES (:registration_id, :message_id, 0)

-- get --
-- Return a message that waits for a push registration.
SELECT m.id, m.account_id, m.public_id, m.received_at, m.expires_at, m.sealed
FROM message m JOIN message_for f ON f.message_id = m.id
WHERE m.public_id = :public_id AND f.registration_id = :registration_id

-- waiting --
-- Return what waits for a push registration, beyond an id, in order.
SELECT m.id, m.account_id, m.public_id, m.received_at, m.expires_at, m.sealed
FROM message_for f JOIN message m ON m.id = f.message_id
WHERE f.registration_id = :registration_id AND f.message_id > :after AND (f.fetched_at = 0 OR :fetched_too)
ORDER BY f.message_id LIMIT :limit

-- hand_on --
-- Let a push registration wait for what another one waits for.
INSERT INTO message_for (registration_id, message_id, fetched_at)
SELECT :heir, message_id, 0 FROM message_for WHERE registration_id = :registration_id AND fetched_at = 0
ON CONFLICT DO NOTHING

-- note_fetched --
-- Note when a message was given to the app first.
UPDATE message_for SET fetched_at = :at
WHERE registration_id = :registration_id AND message_id = :message_id AND fetched_at = 0

-- settle --
-- A push registration has a message.
DELETE FROM message_for WHERE registration_id = :registration_id AND message_id = :message_id

-- erase --
-- Erase the content of a message that nobody waits for; its row tells for a while that it came.
UPDATE message SET sealed = x'', expires_at = :known_until
WHERE id = :id AND NOT EXISTS (SELECT 1 FROM message_for WHERE message_id = :id)

-- ids_for --
-- Return the ids of all messages that wait for a push registration.
SELECT message_id FROM message_for WHERE registration_id = :registration_id

-- count_for --
-- Count what waits for a push registration and was not fetched.
SELECT count(*) FROM message_for WHERE registration_id = :registration_id AND fetched_at = 0

-- fetched --
-- Return what was fetched before a time.
SELECT registration_id, message_id FROM message_for
WHERE fetched_at > 0 AND fetched_at < :before LIMIT :limit

-- forget --
-- Remove messages whose time is over, the oldest first.
DELETE FROM message WHERE id IN (
  SELECT id FROM message WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
)
