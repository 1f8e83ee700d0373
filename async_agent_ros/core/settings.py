"""What can be set about the kernel. Recorded with the session, so that a replay uses the same."""
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping, Tuple


@dataclass(frozen=True)
class Settings:
    """Settings of the kernel; times in seconds. Words are compared in lower case."""

    system_text: str = ''
    """First system message; empty: the persona of the prompt format."""
    backchannels: Tuple[str, ...] = (
        'mm-hm', 'mhm', 'mm', 'mmm', 'hm', 'hmm', 'uh-huh', 'uh huh', 'aha', 'ah', 'oh', 'yeah',
        'yep', 'yes', 'okay', 'ok', 'right', 'sure', 'i see', 'got it', 'alright', 'good', 'nice')
    """Said while the agent speaks, these leave it the floor."""
    stop_words: Tuple[str, ...] = ('stop', 'wait', 'halt', 'freeze', 'hold on', 'be quiet', 'quiet')
    """At the start of an utterance, one of these stops the voice even in a partial transcript."""
    motion_stop_words: Tuple[str, ...] = ('stop', 'halt', 'freeze', 'emergency')
    """An utterance of these and motion_stop_company alone cancels the tools marked as motion."""
    motion_stop_company: Tuple[str, ...] = (
        'please', 'now', 'robot', 'right', 'there', 'it', 'immediately', 'moving', 'driving',
        'hey', 'no', 'wait', 'the', 'at', 'once')
    stop_word_tools: Tuple[str, ...] = ()
    """The tools that a stop word cancels; empty: those marked as motion."""
    yes_words: Tuple[str, ...] = ('yes', 'yeah', 'yep', 'sure', 'ok', 'okay', 'do it', 'go ahead',
                                  'please do', 'confirmed', 'correct', 'affirmative')
    no_words: Tuple[str, ...] = ('no', 'nope', "don't", 'do not', 'stop', 'cancel', 'never mind',
                                 'negative', 'wait')
    interrupt_min_words: int = 2
    """Words of a partial transcript, other than backchannels, that stop the voice."""
    resume_after_s: float = 2.0
    """Silence after a sound without words, until paused speech goes on."""
    transcript_timeout_s: float = 8.0
    """Wait for the final transcript; a dead recogniser must not keep the floor for ever."""
    cut_timeout_s: float = 0.5
    """Wait for the sink to say what was heard, after a stop."""
    confirm_timeout_s: float = 30.0
    find_timeout_s: float = 15.0
    """
    After a restart: wait for word of a call that ran, until it counts as lost. The manager and the
    dispatcher must have found each other by then, which takes seconds on a busy machine.
    """
    confirm_question: str = 'Shall I really {action}?'
    acknowledgement: str = ''
    """
    Said when a long call is accepted that was written without a word; {action} is the call in
    words. Empty: the model is asked for a word, which takes it a generation.
    """
    filler_after_s: float = 0.0
    """After the person's words: with nothing said for so long, a filler line; 0.0: never."""
    filler_lines: Tuple[str, ...] = ('One moment.', 'Let me see.')
    progress_period_s: float = 2.0
    """At most one progress entry per call in this time."""
    result_group_s: float = 0.1
    """After a result: wait for others that end at the same time, and tell them together."""
    speculation: str = 'off'
    """'off', 'revise' or 'stream', see core.words.Speculation."""
    speculation_min_words: int = 2
    """Words of a partial transcript before anything is assumed."""
    speculation_drafts: int = 32
    """Generations on assumed words per utterance, at most."""
    speculation_per_s: float = 4.0
    """Generations on assumed words per second, at most."""
    speculation_calls: int = 4
    """Reads executed early per tool and utterance, at most; 0: plan early, execute nothing."""
    speculation_keep_s: float = 10.0
    """After the final words: how long the turn may use what was read early."""
    speculation_finish_s: float = 5.0
    """After the final words: how long a reaction to the last partial ones may go on (stream)."""
    speculation_min_hit_rate: float = 0.3
    """A tool whose early reads are used less often is not executed early for a while."""
    speculation_judged: int = 10
    """The latest guesses by which a tool is judged; with fewer it is not."""
    max_instances: int = 4
    """Helpers (forks and spawns) that may live at once."""
    max_depth: int = 2
    """Helpers may have helpers to this depth."""
    utc_offset_s: int = 0
    """Local time less UTC, for the clock that the model sees."""
    timeout_grace_s: float = 10.0
    """Beyond a tool's timeout, until a call that nobody ends counts as lost."""
    retry_s: float = 1.0
    """Until a generation is asked for again when no dispatcher answers."""
    max_chain: int = 8
    """Generations in a row without a word of the person; beyond, the agent waits for one."""
    no_model_line: str = 'I have no language model, so I cannot answer.'
    engine_error_line: str = 'Sorry, my language model failed.'
    chain_line: str = 'Sorry, I did not manage that.'

    def to_json(self) -> Dict[str, Any]:
        """Return the fields that differ from the defaults."""
        default = asdict(Settings())
        return {k: list(v) if isinstance(v, tuple) else v
                for k, v in asdict(self).items() if v != default[k]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> 'Settings':
        """Invert to_json(); unknown keys are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v
                      for k, v in value.items() if k in known})
