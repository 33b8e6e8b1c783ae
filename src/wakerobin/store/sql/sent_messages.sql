-- add --
-- Keep a message that an app handed over.
INSERT INTO sent_message (registration_id, message_id, state, status, reason, created_at, sealed)
VALUES (:registration_id, :message_id, :state, :status, :reason, :created_at, :sealed)
ON CONFLICT DO NOTHING

-- get --
-- Return one by the name that its app gave it.
SELECT registration_id, message_id, state, status, reason, created_at, sealed
FROM sent_message WHERE registration_id = :registration_id AND message_id = :message_id

-- waiting --
-- Return those whose end nobody knows, the oldest first.
SELECT registration_id, message_id, state, status, reason, created_at, sealed
FROM sent_message WHERE state = 'waiting' ORDER BY created_at LIMIT :limit

-- count_waiting --
-- Count those of a push registration whose end nobody knows.
SELECT count(*) FROM sent_message WHERE registration_id = :registration_id AND state = 'waiting'

-- end --
-- Write down how one ended, and erase its words.
UPDATE sent_message SET state = :state, status = :status, reason = :reason, sealed = x''
WHERE registration_id = :registration_id AND message_id = :message_id

-- forget --
-- Remove old ones, the oldest first.
DELETE FROM sent_message WHERE (registration_id, message_id) IN (
  SELECT registration_id, message_id FROM sent_message
  WHERE created_at < :before ORDER BY created_at LIMIT :limit
)
