"""Words of the protocol: closed sets of strings that stand in messages, ledger and prompt."""
import enum


class Word(str, enum.Enum):
    """A string enum as in Python 3.11, for the Python 3.10 of ROS 2 Humble too."""

    __str__ = str.__str__
    __format__ = str.__format__


class Kind(Word):
    """Kinds of ledger entries, see LedgerEntry.msg."""

    SYSTEM = 'system'
    USER = 'user'
    ASSISTANT = 'assistant'
    CALL = 'call'
    COMMIT = 'commit'
    RETRACT = 'retract'
    RESULT = 'result'
    NOTIFICATION = 'notification'
    INTERRUPT = 'interrupt'
    FORK = 'fork'
    SPAWN = 'spawn'
    END = 'end'


class Status(Word):
    """Terminal statuses of calls, generations and instances. Each gets exactly one."""

    SUCCEEDED = 'succeeded'
    FAILED = 'failed'
    CANCELLED = 'cancelled'
    RETRACTED = 'retracted'
    LOST = 'lost'


class Phase(Word):
    """Phases of a call without a terminal record, see RunningCall.msg."""

    PENDING = 'pending'
    WAITING = 'waiting'
    CONFIRMING = 'confirming'
    COMMITTED = 'committed'
    RUNNING = 'running'
    CANCELLING = 'cancelling'


class State(Word):
    """States of the dialogue (arXiv 2410.21620, section 3)."""

    IDLE = 'idle'
    LISTENING = 'listening'
    GENERATING = 'generating'
    EMITTING = 'emitting'


class Effect(Word):
    """What running a tool does to the world. Undeclared counts as state-changing."""

    READ_ONLY = 'read_only'
    STATE_CHANGING = 'state_changing'
    CONFIRM = 'confirm'


class Duplicates(Word):
    """What happens to a call that equals one that has not ended."""

    ALLOW = 'allow'
    REJECT = 'reject'
    JOIN = 'join'
    REPLACE = 'replace'


class Busy(Word):
    """What happens to a call whose resources another call holds."""

    QUEUE = 'queue'
    REFUSE = 'refuse'
    REPLACE = 'replace'


class Speculation(Word):
    """How the agent works ahead of the person's last word."""

    OFF = 'off'
    REVISE = 'revise'
    """Generate again on every stable extension of the words: for any model."""
    STREAM = 'stream'
    """Partial words enter the running context: for models trained for it."""


class Scope(Word):
    """How far an interruption reaches, see Interrupt.msg."""

    SPEECH = 'speech'
    MOTION = 'motion'
    ALL = 'all'


class Error:
    """Error codes of results; the same numbers as in ExecuteTool.action and Generate.action."""

    NONE = 0
    GENERATE_UNKNOWN = 600
    NO_MODEL = 601
    ENGINE = 602
    CONTEXT_TOO_LONG = 603
    LEDGER_GAP = 604
    STALE = 605
    NO_DISPATCHER = 606
    UNKNOWN = 700
    INVALID_ARGUMENTS = 701
    TOOL_FAILED = 702
    TOOL_CRASHED = 703
    TIMEOUT = 704
    CANCELLED = 705
    REJECTED = 706
    SERVER_UNAVAILABLE = 707
    LOST = 708
    UNKNOWN_TOOL = 709
    DUPLICATE = 710
    NOT_CONFIRMED = 711
    LEDGER_UNAVAILABLE = 712
    RATE = 713
    BUSY = 714
    OPERAND = 715
