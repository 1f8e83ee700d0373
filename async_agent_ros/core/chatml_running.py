"""The block of the prompt that tells which calls have not ended, and how far they are."""
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from async_agent_ros.core.chatml_format import PromptFormat
from async_agent_ros.core.chatml_text import dumps
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Phase

NS_PER_S = 1_000_000_000


@dataclass
class RunningCall:
    """A call without a terminal record, folded from the entries."""

    call_id: str
    name: str
    arguments: Any
    since_ns: int
    phase: str = str(Phase.PENDING)
    progress: Optional[float] = None
    text: str = ''


def clip(prompt_format: PromptFormat, text: str, limit: Optional[int] = None) -> str:
    """Return the text, cut with a mark when it is longer than the format allows."""
    limit = prompt_format.text_chars if limit is None else limit
    if len(text) <= limit:
        return text
    return text[:limit] + prompt_format.cut_mark.format(shown=limit, total=len(text))


def running_text(running: Mapping[str, RunningCall], prompt_format: PromptFormat,
                 tools: Mapping[str, ToolSpec], now_ns: int) -> str:
    """Return the lines about calls that have not ended, '' when there are none."""
    if not running:
        return ''
    lines = [_line(call, prompt_format, tools.get(call.name), now_ns)
             for call in list(running.values())[:prompt_format.running_shown]]
    if len(running) > prompt_format.running_shown:
        lines.append(prompt_format.running_more.format(
            count=len(running) - prompt_format.running_shown))
    if prompt_format.running_note:
        lines.append(prompt_format.running_note)
    return '\n'.join(lines)


def _line(call: RunningCall, prompt_format: PromptFormat, spec: Optional[ToolSpec],
          now_ns: int) -> str:
    what = dumps({**({'id': call.call_id} if prompt_format.show_ids else {}),
                  'name': call.name, 'arguments': call.arguments})
    since_s = max(0, now_ns - call.since_ns) / NS_PER_S
    latest = clip(prompt_format, call.text, prompt_format.result_chars)
    if not latest and call.progress is not None and call.progress >= 0.0:
        latest = f'{call.progress:.0%} done'
    if spec is not None and spec.timeout_s > 0.0 and prompt_format.running_deadline:
        deadline = prompt_format.running_deadline.format(
            seconds=max(0.0, spec.timeout_s - since_s))
        latest = f'{latest}{deadline}' if latest else deadline.removeprefix(', ')
    return prompt_format.running_line.format(
        call=what, id=call.call_id, name=call.name,
        phase=prompt_format.phases.get(call.phase, call.phase), seconds=since_s,
        progress=f', {latest}' if latest else '')
