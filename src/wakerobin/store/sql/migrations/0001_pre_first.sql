-- The first schema. Times are epoch milliseconds; `slot` is the partition of the account.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids are never used twice: a sealed value is bound to its row, and a late answer to a removed row
-- must not meet another one.
CREATE TABLE account (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  slot INTEGER NOT NULL,
  app TEXT NOT NULL,
  aor TEXT NOT NULL,
  auth_user TEXT NOT NULL,
  registrar TEXT NOT NULL,
  outbound_proxy TEXT NOT NULL,
  transport TEXT NOT NULL,
  contact_user TEXT NOT NULL,
  instance TEXT NOT NULL,
  proven INTEGER NOT NULL,
  algorithm TEXT NOT NULL,
  state TEXT NOT NULL,
  state_since_at INTEGER NOT NULL,
  said TEXT NOT NULL, -- JSON: what the PBX said, octets that are no UTF-8 included
  created_at INTEGER NOT NULL,
  UNIQUE (aor, app)
) STRICT;
CREATE UNIQUE INDEX account_contact_user ON account (contact_user) WHERE contact_user <> '';

CREATE TABLE credentials (
  account_id INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
  sealed BLOB NOT NULL
) STRICT;

CREATE TABLE registration (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  public_id TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES account,
  app TEXT NOT NULL,
  installation TEXT NOT NULL,
  sip_instance TEXT NOT NULL,
  secret_hash BLOB NOT NULL,
  previous_secret_hash BLOB NOT NULL,
  previous_secret_until INTEGER NOT NULL,
  proven INTEGER NOT NULL,
  platform TEXT NOT NULL,
  locale TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  display_name TEXT NOT NULL,
  lifetime INTEGER NOT NULL,
  capabilities TEXT NOT NULL, -- JSON
  os_version TEXT NOT NULL,
  app_version TEXT NOT NULL,
  payload_key BLOB NOT NULL, -- sealed; empty where there is none
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX registration_account ON registration (account_id, installation);
CREATE INDEX registration_installation ON registration (app, installation);
CREATE INDEX registration_unproven ON registration (created_at) WHERE proven = 0;

CREATE TABLE target (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  registration_id INTEGER NOT NULL REFERENCES registration ON DELETE CASCADE,
  provider TEXT NOT NULL,
  token_hash BLOB NOT NULL, -- keyed: finds a token without unsealing any
  token BLOB NOT NULL, -- sealed JSON: the token, and the keys of a Web Push subscription
  token_kind TEXT NOT NULL,
  purposes TEXT NOT NULL,
  topic TEXT NOT NULL,
  environment TEXT NOT NULL,
  reported_at INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  refused_at INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  UNIQUE (token_hash, provider, registration_id)
) STRICT;
-- Covers what a life asks of its targets, so that no token is read for it.
CREATE INDEX target_registration ON target (registration_id, id, provider, purposes);

-- The only hot table, hence narrow. A renewal writes no column that an index covers.
CREATE TABLE life (
  id INTEGER PRIMARY KEY REFERENCES registration ON DELETE CASCADE,
  slot INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  next_at INTEGER,
  generation INTEGER NOT NULL,
  step INTEGER NOT NULL,
  lifetime INTEGER NOT NULL,
  renewed_at INTEGER NOT NULL,
  renewal_sent_at INTEGER NOT NULL,
  warning_tried_at INTEGER NOT NULL,
  warned_at INTEGER NOT NULL,
  warning_settled INTEGER NOT NULL,
  ended TEXT,
  ended_at INTEGER NOT NULL,
  opened_at INTEGER NOT NULL,
  noted_at INTEGER NOT NULL,
  trouble_generation INTEGER NOT NULL,
  trouble_told_at INTEGER NOT NULL,
  trouble_settled INTEGER NOT NULL,
  trouble_cause TEXT NOT NULL,
  habits TEXT NOT NULL -- empty: unknown
) STRICT;
CREATE INDEX life_due ON life (next_at) WHERE next_at IS NOT NULL;
-- Dormant lives have no tombstone yet, and may be many: those of the others are found without them.
CREATE INDEX life_ended ON life (ended <> 'dormant', ended_at, id, ended) WHERE ended IS NOT NULL;

-- try_at: not_before, or the end of a lease while the row is being sent.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  slot INTEGER NOT NULL,
  registration_id INTEGER NOT NULL REFERENCES registration ON DELETE CASCADE,
  generation INTEGER NOT NULL,
  kind TEXT NOT NULL,
  step INTEGER NOT NULL,
  lane TEXT NOT NULL,
  app TEXT NOT NULL, -- of the registration
  provider TEXT NOT NULL, -- of all its notice targets when it was added; empty where it is not one
  not_before INTEGER NOT NULL,
  try_at INTEGER NOT NULL,
  deadline_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  payload TEXT NOT NULL, -- JSON
  UNIQUE (registration_id, generation, kind, step)
) STRICT;
CREATE INDEX outbox_lane ON outbox (lane, app, provider, deadline_at, id, try_at);
CREATE INDEX outbox_try ON outbox (try_at, lane, app, provider);

CREATE TABLE story (
  id INTEGER PRIMARY KEY,
  subject TEXT NOT NULL,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  details TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX story_subject ON story (subject, at);
CREATE INDEX story_at ON story (at);

CREATE TABLE trial (
  registration_id INTEGER PRIMARY KEY REFERENCES registration ON DELETE CASCADE,
  account_id INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  way TEXT NOT NULL, -- JSON: as the enrolment names it; {} for the account's own
  is_trusted INTEGER NOT NULL,
  started_at INTEGER NOT NULL
) STRICT;
CREATE INDEX trial_started ON trial (started_at, registration_id);

-- Stands alone, since the account may be gone or enrolled anew meanwhile.
CREATE TABLE unregister (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL,
  account TEXT NOT NULL, -- JSON
  sealed BLOB NOT NULL,
  registration_id INTEGER NOT NULL, -- whose story tells of it; it may be gone
  created_at INTEGER NOT NULL,
  give_up_at INTEGER NOT NULL
) STRICT;
CREATE INDEX unregister_account ON unregister (account_id);

CREATE TABLE held_call (
  call_id TEXT PRIMARY KEY,
  account_id INTEGER NOT NULL,
  invite BLOB NOT NULL,
  flow TEXT NOT NULL,
  to_tag TEXT NOT NULL,
  branches TEXT NOT NULL, -- JSON
  started_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE call_record (
  call_id TEXT PRIMARY KEY,
  account_id INTEGER NOT NULL,
  state TEXT NOT NULL,
  said TEXT NOT NULL, -- JSON: what the caller's side said, octets that are no UTF-8 included
  started_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  over_at INTEGER NOT NULL -- ended_at, or expires_at while nobody told the end
) STRICT;
CREATE INDEX call_record_account ON call_record (account_id, started_at, call_id);
CREATE INDEX call_record_started ON call_record (started_at, call_id);
CREATE INDEX call_record_over ON call_record (over_at);

CREATE TABLE kept (
  name TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
  name TEXT PRIMARY KEY,
  since_at INTEGER NOT NULL,
  words TEXT NOT NULL -- for people
) STRICT, WITHOUT ROWID;

-- refused_at: the last refusal, 0 for none. next_at: when to look again.
CREATE TABLE trouble (
  account_id INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
  cause TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  registrar TEXT NOT NULL,
  peers INTEGER NOT NULL, -- accounts of that registrar
  since_at INTEGER NOT NULL,
  refusals INTEGER NOT NULL,
  refused_at INTEGER NOT NULL,
  told INTEGER NOT NULL,
  next_at INTEGER
) STRICT;
CREATE INDEX trouble_due ON trouble (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX trouble_registrar ON trouble (cause, registrar, peers);

-- Lives that were used while the clock was in doubt, and get their end when it is not any more.
CREATE TABLE held_use (
  registration_id INTEGER PRIMARY KEY REFERENCES registration ON DELETE CASCADE
) STRICT;

-- Apps in the foreground that register at their PBX themselves, where their operator lets them.
CREATE TABLE stepped_aside (
  registration_id INTEGER PRIMARY KEY REFERENCES registration ON DELETE CASCADE,
  since_at INTEGER NOT NULL
) STRICT;

CREATE TABLE receipt (
  id INTEGER PRIMARY KEY,
  registration_id INTEGER NOT NULL REFERENCES registration ON DELETE CASCADE,
  at INTEGER NOT NULL,
  push_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  push_type TEXT NOT NULL
) STRICT;
CREATE INDEX receipt_registration ON receipt (registration_id, at);
CREATE INDEX receipt_at ON receipt (at);

-- day: since 1970-01-01, UTC.
CREATE TABLE tally (
  day INTEGER NOT NULL,
  app TEXT NOT NULL,
  platform TEXT NOT NULL,
  name TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (day, app, platform, name)
) STRICT, WITHOUT ROWID;

-- Phones that nobody enrolled (RFC 8599), by the number that stands for them in our Path.
CREATE TABLE guest (
  number INTEGER PRIMARY KEY,
  app TEXT NOT NULL,
  aor TEXT NOT NULL,
  resource BLOB NOT NULL, -- keyed: finds it by its push resource; empty where it has none
  sealed BLOB NOT NULL, -- JSON: its Contact, and where it is pushed
  said TEXT NOT NULL, -- JSON: what its REGISTER and the PBX said
  registered_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  step INTEGER NOT NULL,
  next_at INTEGER NOT NULL
) STRICT;
CREATE INDEX guest_due ON guest (next_at);
CREATE INDEX guest_aor ON guest (aor);
CREATE INDEX guest_resource ON guest (resource, number);

-- A message for an account. When each push registration has it, its content is erased, and the row says for a
-- while that it came: a PBX sends some twice.
CREATE TABLE message (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
  public_id TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  UNIQUE (account_id, public_id)
) STRICT;
CREATE INDEX message_expires ON message (expires_at);

-- fetched_at: when the app was given it by the API; 0 for not yet.
CREATE TABLE message_for (
  registration_id INTEGER NOT NULL REFERENCES registration ON DELETE CASCADE,
  message_id INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
  fetched_at INTEGER NOT NULL,
  PRIMARY KEY (registration_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_for_message ON message_for (message_id);
CREATE INDEX message_for_fetched ON message_for (fetched_at) WHERE fetched_at > 0;

CREATE TABLE mailbox (
  account_id INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
  waiting INTEGER NOT NULL,
  new INTEGER NOT NULL,
  old INTEGER NOT NULL,
  urgent INTEGER NOT NULL,
  changes INTEGER NOT NULL
) STRICT;

-- A message that an app handed over to be sent; sealed: to whom, and its words, until it is over.
CREATE TABLE sent_message (
  registration_id INTEGER NOT NULL REFERENCES registration ON DELETE CASCADE,
  message_id TEXT NOT NULL,
  state TEXT NOT NULL,
  status INTEGER NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (registration_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_message_waits ON sent_message (created_at) WHERE state = 'waiting';
CREATE INDEX sent_message_created ON sent_message (created_at);
