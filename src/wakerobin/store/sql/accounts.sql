-- get --
-- Return one account.
SELECT id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance, proven,
  algorithm, state, state_since_at, said, created_at
FROM account WHERE id = :id

-- by_aor --
-- Return the accounts of an address-of-record in all apps.
SELECT id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance, proven,
  algorithm, state, state_since_at, said, created_at
FROM account WHERE aor = :aor ORDER BY id

-- by_user --
-- Return accounts whose address-of-record begins so.
SELECT id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance, proven,
  algorithm, state, state_since_at, said, created_at
FROM account WHERE aor >= :first AND aor < :after ORDER BY aor, app LIMIT :limit

-- by_contact_user --
-- Return the account whose Contact at its PBX has this user part.
SELECT id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance, proven,
  algorithm, state, state_since_at, said, created_at
FROM account WHERE contact_user = :contact_user AND contact_user <> ''

-- add --
-- Store a new account and return its id.
INSERT INTO account (slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance,
  proven, algorithm, state, state_since_at, said, created_at)
VALUES (:slot, :app, :aor, :auth_user, :registrar, :outbound_proxy, :transport, :contact_user, :instance,
  :proven, :algorithm, :state, :state_since_at, :said, :created_at)
RETURNING id

-- update --
-- Replace an account.
UPDATE account SET slot = :slot, app = :app, aor = :aor, auth_user = :auth_user, registrar = :registrar,
  outbound_proxy = :outbound_proxy, transport = :transport, contact_user = :contact_user,
  instance = :instance, proven = :proven, algorithm = :algorithm, state = :state,
  state_since_at = :state_since_at, said = :said, created_at = :created_at
WHERE id = :id

-- remove --
-- Remove an account; its credentials go with it.
DELETE FROM account WHERE id = :id

-- page --
-- Return the accounts after an id, in order.
SELECT id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user, instance, proven,
  algorithm, state, state_since_at, said, created_at
FROM account WHERE id > :after ORDER BY id LIMIT :limit

-- kept --
-- Return what is needed of the proven accounts after an id to keep them bound, in order.
SELECT id, state, aor, registrar, outbound_proxy, transport
FROM account WHERE id > :after AND proven ORDER BY id LIMIT :limit

-- credentials --
-- Return the sealed credentials of an account.
SELECT sealed FROM credentials WHERE account_id = :account_id

-- replace_credentials --
-- Replace the sealed credentials of an account.
UPDATE credentials SET sealed = :sealed WHERE account_id = :account_id

-- add_credentials --
-- Store the sealed credentials of an account that has none.
INSERT INTO credentials (account_id, sealed) VALUES (:account_id, :sealed)

-- erase_credentials --
-- Erase the credentials of an account.
DELETE FROM credentials WHERE account_id = :account_id
