"""
What the simulated person wants: utterances stage by stage, and the calls they mean.

An utterance grows while it is spoken. After each stage the truth is a plan: the calls that what was
heard so far asks for. A correction edits a call of the plan, a removal takes one out of it.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.tables import fill


@dataclass(frozen=True)
class Ref:
    """An argument that is a field of the result of another act."""

    key: str
    field: str


@dataclass(frozen=True)
class Act:
    """A call of the truth."""

    key: str
    name: str
    arguments: Mapping[str, Any]
    tool: Optional[SimTool] = None
    """None: a tool of the agent's own."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The arguments by their canonical names."""
    said: str = ''
    """The bare request, for helpers."""
    ack: str = ''
    """What is said along with it, where its tool has no words for that."""

    def gerund(self) -> str:
        """Return what it does, as in 'I am ...'."""
        return fill(self.tool.concept.gerund, self.words)

    def inf(self) -> str:
        """Return what it does, as in 'I could not ...'."""
        return fill(self.tool.concept.inf, self.words)

    @property
    def words(self) -> Dict[str, Any]:
        """The values that can be said: an operand is not known yet."""
        return {k: 'right place' if isinstance(v, Ref) else v for k, v in self.values.items()}

    @property
    def reads(self) -> bool:
        """Tell whether it changes nothing."""
        return self.tool is None or self.tool.reads


@dataclass(frozen=True)
class Stage:
    """A stretch of an utterance, and the plan that stands after it."""

    words: str
    plan: Tuple[Act, ...] = ()
    pause_s: float = 0.0
    """A thinking pause after it."""


@dataclass(frozen=True)
class Intent:
    """What the person says and means."""

    kind: str
    stages: Tuple[Stage, ...]
    reply: str = ''
    """What is right to say, where that follows from the words alone."""
    template: str = ''
    helper: Tuple[Act, ...] = ()
    """What a helper that is asked for has to do."""
    then: Tuple[Act, ...] = ()
    """What is wanted when the last call of the plan has succeeded, and not before."""

    @property
    def text(self) -> str:
        """The whole utterance."""
        return ''.join(s.words for s in self.stages)

    @property
    def plan(self) -> Tuple[Act, ...]:
        """The calls that the whole utterance means."""
        return self.stages[-1].plan
