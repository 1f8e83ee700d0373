"""The head of the prompt: who the model is, the rules, the tools that there are, the examples."""
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from async_agent_ros.core.chatml_examples import examples
from async_agent_ros.core.chatml_format import PromptFormat
from async_agent_ros.core.chatml_text import escape, tool_line
from async_agent_ros.core.tools import ToolSpec


@dataclass
class Head:
    """Told of the first system texts and of all announcements of tools."""

    format: PromptFormat
    allowed: Tuple[str, ...] = ()
    """The only tools of this instance; empty: all."""
    texts: List[str] = field(default_factory=list)
    tools: Dict[str, ToolSpec] = field(default_factory=dict)
    """The catalogue as it was announced."""

    @property
    def shown(self) -> List[ToolSpec]:
        """The tools that the model sees and may call."""
        return [t for t in self.tools.values() if t.name not in self.format.hidden_tools
                and (not self.allowed or t.name in self.allowed)]

    def branch(self) -> 'Head':
        """Return a head that goes its own way from here."""
        return replace(self, texts=list(self.texts), tools=dict(self.tools))

    def announce(self, data: Mapping[str, Any]) -> str:
        """Take an announcement; return what is said of it where the head stands already."""
        removed = [n for n in as_list(data.get('removed'))
                   if isinstance(n, str) and self.tools.pop(n, None)]
        added = []
        for value in as_list(data.get('added')):
            try:
                spec = ToolSpec.from_json(value)
                self._line(spec)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue  # a broken announcement must not cost the conversation
            if self.tools.get(spec.name) != spec and spec.name not in self.format.hidden_tools:
                added.append(spec)
            self.tools[spec.name] = spec
        lines = [self.format.tools_added, *map(self._line, added)] if added else []
        if removed:
            lines.append(self.format.tools_removed.format(names=', '.join(removed)))
        return '\n'.join(lines)

    def messages(self, call_line: Callable[[str, Any], str]) -> List[Tuple[str, str]]:
        """Return roles and texts; `call_line(name, arguments)` writes a call."""
        specs = self.shown
        lines = ['\n'.join(self.texts) or self.format.persona]
        lines.append(self.format.rules.format(marker=self.format.call_marker))
        lines += [self.format.tools_header, *map(self._line, specs)] if specs else [
            self.format.no_tools]
        return [('system', escape('\n'.join(lines))), *examples(self.format, specs, call_line)]

    def _line(self, spec: ToolSpec) -> str:
        return tool_line(spec, self.format.show_results, self.format.asked_per_tool)


def as_list(value: Any) -> Sequence[Any]:
    """Return a list of JSON, and an empty one for anything else."""
    return value if isinstance(value, list) else ()
