"""What a work function receives: one attribute for each table group."""

from __future__ import annotations

from wakerobin.store.session import Session
from wakerobin.store.tables_accounts import AccountTable, RegistrationTable, TargetTable
from wakerobin.store.tables_alarms import AlarmTable
from wakerobin.store.tables_guests import GuestTable
from wakerobin.store.tables_lives import LifeTable, StoryTable
from wakerobin.store.tables_messages import MailboxTable, MessageTable, SentMessageTable
from wakerobin.store.tables_outbox import OutboxTable
from wakerobin.store.tables_upkeep import (
    HeldUseTable,
    ReceiptTable,
    SteppedAsideTable,
    TallyTable,
    TroubleTable,
)
from wakerobin.store.tables_work import BindingWorkTable, CallTable, KeptTable


class SqlTransaction:
    """`ports.store.Transaction` over a session."""

    def __init__(self, session: Session) -> None:
        self.accounts = AccountTable(session)
        self.registrations = RegistrationTable(session)
        self.targets = TargetTable(session)
        self.lives = LifeTable(session)
        self.outbox = OutboxTable(session)
        self.stories = StoryTable(session)
        self.binding_work = BindingWorkTable(session)
        self.calls = CallTable(session)
        self.kept = KeptTable(session)
        self.troubles = TroubleTable(session)
        self.held_uses = HeldUseTable(session)
        self.stepped_aside = SteppedAsideTable(session)
        self.receipts = ReceiptTable(session)
        self.tallies = TallyTable(session)
        self.alarms = AlarmTable(session)
        self.messages = MessageTable(session)
        self.mailboxes = MailboxTable(session)
        self.sent_messages = SentMessageTable(session)
        self.guests = GuestTable(session)
