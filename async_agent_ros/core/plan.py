"""
The plan of a turn: calls as a graph with stable ids and operands, revised while the person speaks.

After arXiv 2605.13360, section 3. A plan knows nothing of ledger, tools or time: it tells which
call is the same as before, which one is an edit, what falls with what, and keeps the books.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from async_agent_ros.core import operands
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.core.words import Word

NS_PER_S = 1_000_000_000


class Standing(Word):
    """How far a planned call has got."""

    TENTATIVE = 'tentative'
    """It stands in the plan and has not run."""
    RUNNING = 'running'
    """It is executed early."""
    DONE = 'done'
    """It was executed early and has ended."""
    COMMITTED = 'committed'
    """The turn uses it."""
    RETRACTED = 'retracted'
    """The turn does not; its result is discarded."""


@dataclass
class Planned:
    """A call of a plan. Operands in its arguments name other calls of the plan by their ids."""

    call_id: str
    name: str
    arguments: Any
    revision: int
    step: int = 0
    """After how many rounds of results it was written in its revision."""
    standing: Standing = Standing.TENTATIVE
    values: Any = None
    """The arguments without operands, once it runs."""
    began_ns: int = 0
    ended_ns: int = 0
    failed: bool = False
    used: bool = False
    """The turn made an equal call: the guess was right, whether or not it ran early."""
    claimed: bool = False
    """An equal call of the turn has its result."""
    lead_ns: int = 0
    """Time from its start to the moment at which the turn used it."""

    @property
    def early(self) -> bool:
        """Tell whether it was executed before the words were final."""
        return self.began_ns > 0

    @property
    def alive(self) -> bool:
        """Tell whether it still belongs to the plan."""
        return self.standing is not Standing.RETRACTED


@dataclass
class Plan:
    """What one utterance has led to so far."""

    utterance_id: str
    calls: Dict[str, Planned] = field(default_factory=dict)
    revision: int = 0
    step: int = 0
    drafts: int = 0
    """Generations on assumed words."""
    wasted_tokens: int = 0
    generation_id: int = 0
    """The generation that answers the final words, 0 before."""
    _ids: Dict[str, str] = field(default_factory=dict)

    # -- revision ---------------------------------------------------------------------------------
    def begin_revision(self) -> None:
        """Read the plan anew from a model; what stands is kept until the end says otherwise."""
        self.revision += 1
        self.step = 0
        self._ids = {}

    def propose(self, call_id: str, name: str, arguments: Any,
                given_id: str = '') -> Tuple[Planned, List[Planned]]:
        """
        Take a call that the model wrote; `call_id` is its id in case it is new.

        Returns it and what it puts out of the plan: re-issuing a given id within a revision is an
        edit. What waits for the old call waits for the new one; what ran with its result falls.
        """
        arguments = self.with_plan_ids(arguments)
        edited = self.calls.get(self._ids.get(given_id, '')) if given_id else None
        same = self._same(name, arguments)
        if edited is not None and edited.alive and edited is same:
            return edited, []
        planned = same if same is not None and same.revision < self.revision else None
        if planned is None:
            planned = self.calls[call_id] = Planned(call_id, name, arguments, self.revision)
        planned.revision, planned.step = self.revision, self.step
        dropped = []
        if edited is not None and edited is not planned:
            for other in self._dependents(edited):
                if other.standing is Standing.TENTATIVE and other is not planned:
                    other.arguments = operands.replace(other.arguments, lambda o: str(
                        operands.Operand(planned.call_id, o.path)
                        if o.call_id == edited.call_id else o))
            dropped = self._drop(edited)
        self._ids.setdefault(name, planned.call_id)
        if given_id:
            self._ids[given_id] = planned.call_id
        return planned, dropped

    def remove(self, given_id: str) -> List[Planned]:
        """Drop a call by the id (or tool's name) that the model knows, and its dependents."""
        planned = self.calls.get(self._ids.get(given_id, given_id))
        return self._drop(planned) if planned is not None else []

    def end_step(self, *, last: bool = False) -> List[Planned]:
        """
        Drop what the model did not write again, unless its result is there already.

        What it wrote before only after more rounds of results may still come, unless this is the
        `last` step of the revision.
        """
        dropped = []
        for planned in list(self.calls.values()):
            if planned.revision < self.revision and (last or planned.step <= self.step) and (
                    planned.standing in (Standing.TENTATIVE, Standing.RUNNING)):
                dropped += self._drop(planned)
        self.step += 1
        return dropped

    def with_plan_ids(self, arguments: Any) -> Any:
        """Return the arguments with the model's names for calls replaced by the plan's."""
        return operands.replace(arguments, lambda o: str(operands.Operand(
            self._ids.get(o.call_id, o.call_id), o.path)))

    def _same(self, name: str, arguments: Any) -> Optional[Planned]:
        wanted = canonical_json(arguments)
        found = [p for p in self.calls.values() if p.alive and p.name == name
                 and canonical_json(p.arguments) == wanted]
        # Two equal calls in one revision are two calls.
        return min(found, key=lambda p: p.revision, default=None)

    def _drop(self, planned: Planned) -> List[Planned]:
        if not planned.alive or planned.standing is Standing.COMMITTED:
            return []
        dropped = [planned]
        planned.standing = Standing.RETRACTED    # before its dependents: a circle ends here
        for other in self._dependents(planned):
            dropped += self._drop(other)
        return dropped

    def _dependents(self, planned: Planned) -> List[Planned]:
        return [p for p in self.calls.values() if p.alive and any(
            o.call_id == planned.call_id for o in operands.find(p.arguments))]

    # -- execution --------------------------------------------------------------------------------
    def started(self, planned: Planned, values: Mapping[str, Any], now_ns: int) -> None:
        """Note that a call is executed early, with these arguments."""
        planned.standing, planned.values, planned.began_ns = Standing.RUNNING, values, now_ns

    def ended(self, planned: Planned, succeeded: bool, now_ns: int) -> None:
        """Note the end of an early call, whatever became of it meanwhile."""
        planned.ended_ns, planned.failed = now_ns, not succeeded
        if planned.standing is Standing.RUNNING:
            planned.standing = Standing.DONE

    def claim(self, name: str, arguments: Any, now_ns: int) -> Optional[Planned]:
        """
        Find what ran early for a call that the turn really makes; each is claimed once.

        None when nothing equal runs or has succeeded. A right guess counts as used also when it
        was not executed.
        """
        wanted = canonical_json(arguments)
        for planned in self.calls.values():
            values = planned.values if planned.early else planned.arguments
            if (not planned.alive or planned.claimed or planned.name != name
                    or canonical_json(values) != wanted):
                continue
            planned.claimed = True
            if planned.early and not planned.failed:
                self._use(planned, now_ns)
                return planned
            planned.used = True
        return None

    def keep(self, now_ns: int) -> None:
        """Note that the turn uses what was begun early and has not been withdrawn."""
        for planned in self.early_calls:
            if planned.standing in (Standing.RUNNING, Standing.DONE):
                self._use(planned, now_ns)

    @staticmethod
    def _use(planned: Planned, now_ns: int) -> None:
        planned.standing, planned.used = Standing.COMMITTED, True
        planned.lead_ns = planned.lead_ns or now_ns - planned.began_ns

    def retract(self, call_id: str) -> None:
        """Note that the turn has no use for a call after all."""
        self.calls[call_id].standing, self.calls[call_id].used = Standing.RETRACTED, False

    # -- the books --------------------------------------------------------------------------------
    @property
    def early_calls(self) -> List[Planned]:
        """What was executed before the words were final."""
        return [p for p in self.calls.values() if p.early]

    def counts(self, now_ns: int) -> Dict[str, float]:
        """Return what the speculation of the turn brought and cost."""
        early = self.early_calls
        hits = [p for p in early if p.standing is Standing.COMMITTED]
        wasted_ns = sum((p.ended_ns or now_ns) - p.began_ns for p in early if p not in hits)
        return {'drafts': self.drafts, 'wasted_tokens': self.wasted_tokens,
                'early_calls': len(early), 'early_hits': len(hits),
                'wasted_tool_s': round(wasted_ns / NS_PER_S, 6),
                'lead_s': round(max((p.lead_ns for p in hits), default=0) / NS_PER_S, 6)}
