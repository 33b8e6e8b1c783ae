"""The binding machine: REGISTER conversations with a PBX, and what follows from their outcomes."""

from wakerobin.core.binding.answers import KeptNonce
from wakerobin.core.binding.conversation import Conversation
from wakerobin.core.binding.losses import ONE_CONTACT_CODE, ONE_CONTACT_REASON, Losses, found, lost
from wakerobin.core.binding.outcomes import (
    Accepted,
    Bound,
    ComeLater,
    Looked,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Removed,
    Unreachable,
    Unusable,
)
from wakerobin.core.binding.recovery import RecoveryPace, recovery_order
from wakerobin.core.binding.request import BindingRequest, Intent, next_cseq
from wakerobin.core.binding.timing import look_in_s, phase, refresh_in_s, resumed_in_s
from wakerobin.core.binding.trouble import FULL_CODE, Trouble, in_words, resumed_wait_s, troubled

__all__ = [
    "FULL_CODE",
    "ONE_CONTACT_CODE",
    "ONE_CONTACT_REASON",
    "Accepted",
    "BindingRequest",
    "Bound",
    "ComeLater",
    "Conversation",
    "Intent",
    "KeptNonce",
    "Looked",
    "Losses",
    "Outcome",
    "RealmUnknown",
    "RecoveryPace",
    "Refusal",
    "Refused",
    "Removed",
    "Trouble",
    "Unreachable",
    "Unusable",
    "found",
    "in_words",
    "look_in_s",
    "lost",
    "next_cseq",
    "phase",
    "recovery_order",
    "refresh_in_s",
    "resumed_in_s",
    "resumed_wait_s",
    "troubled",
]
