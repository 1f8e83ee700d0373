"""How the prompt looks: every word and mark that the model sees besides the ledger's own."""
from dataclasses import dataclass, field, fields
from typing import Any, Mapping, Tuple

INTERRUPT_MARK = '<|interrupt|>'
PAUSE_MARK = '<pause>'


@dataclass(frozen=True)
class Shot:
    """
    A piece of conversation shown to the model as an example.

    `messages` are pairs of role and content. Roles: user, assistant and notification with text
    (notification also with a JSON object), call with {"name": ..., "arguments": {...}}. A shot is
    shown when every tool in `needs` is in the catalogue.
    """

    messages: Tuple[Tuple[str, Any], ...]
    needs: Tuple[str, ...] = ()


def _notes() -> Mapping[str, str]:
    # the tool call is named as the thing that ended: a bare 'cancelled' is retold as
    # 'your booking was cancelled'
    return {
        'succeeded': '',
        'failed': 'this {tool} call failed; say so, do not claim success',
        'cancelled': 'this {tool} call was cancelled before it finished',
        'retracted': 'this {tool} call was withdrawn and never ran',
        'lost': 'the server of this {tool} call vanished; whether it took effect is unknown',
    }


def _phases() -> Mapping[str, str]:
    return {
        'pending': 'not started yet',
        'waiting': 'waiting',
        'confirming': "waiting for the person's yes",
        'committed': 'started',
        'running': 'running',
        'cancelling': 'being cancelled',
    }


@dataclass(frozen=True)
class PromptFormat:
    """Settings of the prompt. Every field can stand in the YAML file of the prompt."""

    call_marker: str = 'CALL'
    """Stands at the start of the line of a call, before its JSON."""
    remove_marker: str = 'REMOVE'
    """Stands before the id of a call that the model withdraws."""
    show_ids: bool = False
    """Show call ids. Small models copy old ids, which would edit old calls."""
    show_results: bool = False
    """Show the fields of each tool's result, for models that write calls that need calls."""
    asked_per_tool: int = 0
    """
    How many of a tool's own examples stand in its line, without the call. An untrained model needs
    the whole few-shot example (`examples_per_tool`), one that was trained for it only the words.
    """
    repeat_arguments: bool = True
    """Repeat the arguments of a call in everything that is told about it."""
    roles: Mapping[str, str] = field(default_factory=lambda: {
        'system': 'system', 'user': 'user', 'assistant': 'assistant',
        'notification': 'notification'})
    """Role names in the headers, for models that know others."""
    clock_roles: Tuple[str, ...] = ('user', 'notification')
    """Roles whose headers carry the clock."""
    clock: str = ' {seconds:.1f}s'
    """The clock in a header; `seconds` since the first entry of the ledger."""
    persona: str = ('You are the voice of a robot. You talk with people and you act through '
                    'tools.')
    """Used when the ledger begins without a system text."""
    rules: str = (
        'Answer in one short sentence of plain spoken English. To act, or to look something up, '
        'write exactly one line: {marker} {{"name": <tool>, "arguments": {{...}}}}\n'
        'Use only the tools listed here. Messages of the role notification tell what happened: '
        'tell it to the person in one short sentence. Never invent a result, and never say that '
        'something is done before a notification says so.')
    """Stands after the system text; {marker} is the call marker."""
    tools_header: str = 'Tools:'
    no_tools: str = 'You have no tools at the moment.'
    tools_added: str = 'New tools:'
    tools_removed: str = 'These tools are gone, do not call them: {names}'
    examples_per_tool: int = 1
    """Few-shot examples taken from each tool's own."""
    most_examples: int = 12
    """Few-shot examples from tools in all."""
    small_talk: Tuple[Tuple[str, str], ...] = (
        ('Hello!', 'Hello, I am ready.'), ('Thank you.', 'You are welcome.'))
    """Examples without a call, the first before and the others after the examples with one."""
    example_accepted: str = 'I am on it.'
    """Reply shown to the acceptance of a long call; '' leaves the example out."""
    example_succeeded: Tuple[Any, str] = (
        {'text': 'finished after 12 seconds'}, 'Done, it took twelve seconds.')
    """A result and the reply shown to it; a reply '' leaves the example out."""
    example_failed: Tuple[str, str] = (
        'the way is blocked', 'Sorry, that did not work: the way is blocked.')
    """An error and the reply shown to it; a reply '' leaves the example out."""
    shots: Tuple[Shot, ...] = ()
    """More examples, shown after those of the tools."""
    examples_end: str = ''
    """System message after the examples: small models take their facts for the truth."""
    hidden_notifications: Tuple[str, ...] = ('progress', 'waiting')
    """Names of notifications that are not kept in the prompt. Progress is shown while it runs."""
    result_notes: Mapping[str, str] = field(default_factory=_notes)
    """What is said to the model about each terminal status; {tool} is the tool's name."""
    phases: Mapping[str, str] = field(default_factory=_phases)
    """Words for the phases of a call that has not ended."""
    running_line: str = '{call}: {phase} for {seconds:.0f} s{progress}.'
    """
    One call of the block of running calls: {call} is its JSON object, {id} and {name} are parts of
    it, {progress} is '' or its latest feedback.
    """
    running_deadline: str = ', at most {seconds:.0f} s left'
    """Follows the progress of a call whose tool has a timeout; '' leaves it out."""
    running_note: str = ('These calls are still running, do not call them again, do not invent '
                         'their results.')
    """Stands after the running calls."""
    interrupt_mark: str = INTERRUPT_MARK
    """Closes what was cut off."""
    hidden_tools: Tuple[str, ...] = ()
    """Tools that the model is not shown, such as built-in ones that it uses wrongly."""
    fork_task: str = ('You are now a helper in the background. Nobody hears you. Your task: {task}'
                      '\nDo it with the tools, then report in one or two sentences.')
    """Said to a fork as the person's words; {task} is what it was made for."""
    spawn_task: str = ('You are a helper in the background. Nobody hears you. Your task: {task}\n'
                       'Do it with the tools, then report in one or two sentences.')
    """Said to a spawn as the person's words."""
    running_last: bool = False
    """
    Show the running calls last: less is read again. Small models that were not trained for it tell
    the progress then, instead of answering; for them the block stands before what is unanswered.
    """
    running_shown: int = 12
    """Running calls shown one by one; of more, only how many."""
    running_more: str = '... and {count} more.'
    result_chars: int = 800
    """Longest result in the prompt, characters; the ledger keeps it whole."""
    text_chars: int = 4000
    """Longest text of one entry in the prompt, characters."""
    cut_mark: str = '… [cut: {shown} of {total} characters shown]'

    @classmethod
    def from_mapping(cls, value: Mapping[str, Any]) -> 'PromptFormat':
        """Build it from a parsed YAML file; raises ValueError naming what is wrong."""
        defaults = {f.name: getattr(cls(), f.name) for f in fields(cls)}
        given = {}
        for key, item in (value or {}).items():
            if key not in defaults:
                raise ValueError(f'prompt format: unknown setting {key!r}; '
                                 f'known are {", ".join(sorted(defaults))}')
            given[key] = _converted(key, item, defaults[key])
        return cls(**given)


def _converted(key: str, item: Any, default: Any) -> Any:
    if key == 'shots':
        return tuple(_shot(s) for s in item or ())
    if isinstance(default, Mapping):
        if not isinstance(item, Mapping):
            raise ValueError(f'prompt format: {key} must be a mapping, not {item!r}')
        return {**default, **item}
    if isinstance(default, tuple):
        if not isinstance(item, (list, tuple)):
            raise ValueError(f'prompt format: {key} must be a list, not {item!r}')
        return tuple(tuple(i) if isinstance(i, list) else i for i in item)
    if isinstance(item, bool) != isinstance(default, bool) or not isinstance(item, type(default)):
        raise ValueError(f'prompt format: {key} must be like {default!r}, not {item!r}')
    return item


def _shot(value: Any) -> Shot:
    try:
        messages = tuple((role, content) for m in value['messages'] for role, content in m.items())
        needs = tuple(value.get('needs', ()))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'prompt format: a shot must be like {{needs: [tool], messages: '
                         f'[{{user: text}}, {{call: {{name: tool, arguments: {{}}}}}}]}}, '
                         f'not {value!r}') from error
    for role, content in messages:
        if role not in ('user', 'assistant', 'notification', 'call'):
            raise ValueError(f'prompt format: unknown role {role!r} in a shot')
        if role == 'call' and not (isinstance(content, Mapping) and content.get('name')):
            raise ValueError(f'prompt format: a call in a shot needs a name: {content!r}')
    return Shot(messages, needs)
