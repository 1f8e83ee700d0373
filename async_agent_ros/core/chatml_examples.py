"""Few-shot examples for the head of the prompt: with them a 0.5B model calls tools reliably."""
from typing import Any, Callable, List, Sequence, Tuple

from async_agent_ros.core.chatml_format import PromptFormat
from async_agent_ros.core.chatml_text import dumps, escape
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect


def examples(settings: PromptFormat, specs: Sequence[ToolSpec],
             call_line: Callable[[str, Any], str]) -> List[Tuple[str, str]]:
    """Return the examples as roles and texts; `call_line(name, arguments)` writes a call."""
    found: List[Tuple[str, str]] = []
    for role, content in _messages(settings, specs):
        if role == 'call':
            role, text = 'assistant', call_line(content['name'], content.get('arguments', {}))
        else:
            text = escape(content if isinstance(content, str) else dumps(content))
        if role == 'assistant' and found and found[-1][0] == role:
            # text and calls in a row are one message, as a generation writes it
            found[-1] = (role, f'{found[-1][1]}\n{text}')
        else:
            found.append((role, text))
    if found and settings.examples_end:
        found.append(('system', escape(settings.examples_end)))
    return found


def _messages(settings: PromptFormat, specs: Sequence[ToolSpec]) -> List[Tuple[str, Any]]:
    """
    Return the examples as pairs of role and content; role `call` has name and arguments.

    Small talk without a call stands first and last, so that the model does not learn that every
    word of the person means a call. The first two state-changing tools also show what to do when
    a notification comes.
    """
    messages: List[Tuple[str, Any]] = []
    for say, reply in settings.small_talk[:1]:
        messages += [('user', say), ('assistant', reply)]
    shown = 0
    reactions = [_reaction_to_success, _reaction_to_failure]
    for spec in specs:
        for example in spec.examples[:settings.examples_per_tool]:
            if shown >= settings.most_examples:
                break
            shown += 1
            arguments = dict(example.arguments)
            messages += [('user', example.say),
                         ('call', {'name': spec.name, 'arguments': arguments})]
            if reactions and spec.effect != Effect.READ_ONLY:
                messages += reactions.pop(0)(settings, spec.name, arguments)
    names = {s.name for s in specs}
    for shot in settings.shots:
        if names.issuperset(shot.needs):
            messages += shot.messages
    for say, reply in settings.small_talk[1:]:
        messages += [('user', say), ('assistant', reply)]
    return messages


def _notification(settings: PromptFormat, name: str, arguments: Any, status: str,
                  **fields: Any) -> Tuple[str, Any]:
    call = {'tool': name, **({'arguments': arguments} if arguments else {})}
    note = settings.result_notes.get(status, '').replace('{tool}', name)
    return 'notification', {**call, 'status': status, **fields, **({'note': note} if note else {})}


def _reaction_to_success(settings: PromptFormat, name: str, arguments: Any):
    messages: List[Tuple[str, Any]] = []
    if settings.example_accepted:
        messages += [_notification(settings, name, arguments, 'running'),
                     ('assistant', settings.example_accepted)]
    result, reply = settings.example_succeeded
    if reply:
        messages += [_notification(settings, name, arguments, 'succeeded', result=result),
                     ('assistant', reply)]
    return messages


def _reaction_to_failure(settings: PromptFormat, name: str, arguments: Any):
    error, reply = settings.example_failed
    if not reply:
        return []
    return [_notification(settings, name, arguments, 'failed', error=error),
            ('assistant', reply)]
