"""The kernel's settings as ROS parameters of dialog_manager, `kernel.<name>`."""
from dataclasses import fields
import time
from typing import Callable

from rcl_interfaces.msg import SetParametersResult

from async_agent_ros.core.settings import Settings
from async_agent_ros.core.words import Speculation
from async_agent_ros.nodes.node_base import after_setting, declare

DESCRIPTIONS = {
    'system_text': 'First system message; empty: the persona of the prompt file.',
    'backchannels': 'Said while the agent speaks, these leave it the floor.',
    'stop_words': 'At the start of an utterance, these stop the voice at once.',
    'motion_stop_words': 'An utterance of these alone also cancels tools marked as motion.',
    'motion_stop_company': 'Words that may accompany motion_stop_words.',
    'stop_word_tools': 'Tools that a stop word cancels; empty: those marked as motion.',
    'acknowledgement': 'Said when a long call is accepted that was written without a word; '
                       '{action} is the call in words. Empty: the model is asked for a word.',
    'filler_after_s': 'Seconds without an answer until a filler line is spoken; 0.0: never.',
    'filler_lines': 'Lines that say that the answer takes a moment, taken in turn.',
    'yes_words': 'Confirm a pending call at the start of an utterance.',
    'no_words': 'Refuse a pending call anywhere in an utterance.',
    'interrupt_min_words': 'Words of a partial transcript that stop the voice.',
    'resume_after_s': 'Seconds of silence until paused speech goes on.',
    'transcript_timeout_s': 'Seconds to wait for a final transcript.',
    'cut_timeout_s': 'Seconds to wait for what was heard, after a stop.',
    'confirm_timeout_s': 'Seconds to wait for the yes to a confirm tool.',
    'find_timeout_s': 'Seconds to wait for word of a running call, after a restart.',
    'confirm_question': 'Question before a confirm tool runs; {action} is replaced.',
    'progress_period_s': 'Seconds between progress entries of one call.',
    'result_group_s': 'Seconds after a result in which others are told together with it.',
    'speculation': 'Work ahead of the last word: off, revise (any model), stream (models that '
                   'were trained for it).',
    'speculation_min_words': 'Words of a partial transcript before anything is assumed.',
    'speculation_drafts': 'Generations on assumed words per utterance, at most.',
    'speculation_per_s': 'Generations on assumed words per second, at most.',
    'speculation_calls': 'Reads executed early per tool and utterance, at most; 0: none.',
    'speculation_keep_s': 'Seconds after the final words in which early reads may be used.',
    'speculation_finish_s': 'Seconds in which a reaction to partial words may be finished after '
                            'the final ones (stream).',
    'speculation_min_hit_rate': 'Share of guessed reads that must be right, else they wait.',
    'speculation_judged': 'The latest guesses by which a tool is judged.',
    'max_instances': 'Helpers (forks and spawns) that may live at once.',
    'max_depth': 'Depth to which helpers may have helpers.',
    'utc_offset_s': 'Local time less UTC in seconds, for the clock that the model sees.',
    'timeout_grace_s': 'Seconds beyond the timeout of a tool until its call counts as lost.',
    'retry_s': 'Seconds until a generation is asked for again without a dispatcher.',
    'max_chain': 'Generations in a row without a word of the person.',
    'no_model_line': 'Spoken when no language model is there.',
    'engine_error_line': 'Spoken when the language model fails.',
    'chain_line': 'Spoken when max_chain is reached.',
}
RANGES = {'interrupt_min_words': (1, 20), 'max_chain': (1, 100), 'max_instances': (0, 64),
          'max_depth': (0, 8), 'utc_offset_s': (-50_400, 50_400), 'result_group_s': (0.0, 5.0),
          'filler_after_s': (0.0, 60.0), 'speculation_min_words': (1, 50),
          'speculation_drafts': (0, 1000), 'speculation_per_s': (0.05, 50.0),
          'speculation_calls': (0, 100), 'speculation_min_hit_rate': (0.0, 1.0),
          'speculation_judged': (1, 1000)}
CHOICES = {'speculation': tuple(str(mode) for mode in Speculation)}
TIME_RANGE_S = (0.05, 3600.0)


READ_ONLY = ('system_text',)
"""What stands at the beginning of the ledger cannot change later."""


def declare_settings(node) -> Settings:
    """Declare every setting as a parameter and return the Settings."""
    for item in fields(Settings):
        default = item.default
        if item.name == 'utc_offset_s':
            default = time.localtime().tm_gmtoff    # the machine's, at the start of a session
        low, high = RANGES.get(item.name, TIME_RANGE_S if isinstance(default, float)
                               else (None, None))
        declare(node, f'kernel.{item.name}',
                (list(default) or ['']) if isinstance(default, tuple) else default,
                DESCRIPTIONS[item.name], minimum=low, maximum=high,
                choices=CHOICES.get(item.name, ()), read_only=item.name in READ_ONLY)
    return read_settings(node)


def read_settings(node) -> Settings:
    """Return the settings as the parameters say now."""
    values = {f.name: node.get_parameter(f'kernel.{f.name}').value for f in fields(Settings)}
    # An empty list has no type in ROS: it is written as one empty text.
    return Settings(**{k: tuple(v for v in value if v) if isinstance(value, (list, tuple))
                       else value for k, value in values.items()})


def follow_settings(node, changed: Callable[[Settings], None]) -> None:
    """Call `changed(settings)` when parameters of the kernel are set at run time."""
    def apply(parameters):
        if any(p.name.startswith('kernel.') for p in parameters):
            changed(read_settings(node))

    def check(parameters):
        for parameter in parameters:
            known = CHOICES.get(parameter.name.removeprefix('kernel.'), ())
            if known and parameter.value not in known:
                return SetParametersResult(successful=False, reason=(
                    f'{parameter.name} must be one of {", ".join(map(repr, known))}, not '
                    f'{parameter.value!r}'))
        return SetParametersResult(successful=True)

    after_setting(node, apply)
    node.add_on_set_parameters_callback(check)
