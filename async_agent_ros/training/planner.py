"""
The planner that knows the truth: what a perfect model would write, generation by generation.

It sees what the kernel asks to be answered (words, results, timers) and knows what the person
meant. What it says about calls is taken from the ledger as the model sees it, never from the truth.
"""
from dataclasses import dataclass
import json
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from async_agent_ros.core import lineage
from async_agent_ros.core.chatml import Renderer
from async_agent_ros.core.chatml_format import PAUSE_MARK
from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.state import KernelState
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.core.words import Busy, Error, Kind, Status
from async_agent_ros.training.intents import Act, Intent, Ref
from async_agent_ros.training.tables import fill, slots

TIMERS = ('set_timer',)


@dataclass
class Step:
    """What is said, and the call that follows on it, if any."""

    text: str
    act: Optional[Act] = None
    helper: Sequence[Act] = ()
    """What the helper made by the call has to do."""


def planned_after(intent: Intent, heard: str) -> Tuple[Act, ...]:
    """Return the calls that the words heard so far ask for."""
    plan: Tuple[Act, ...] = ()
    text = ''
    for stage in intent.stages:
        text += stage.words
        if len(heard.strip()) < len(text.strip().rstrip('.,?')):
            break
        plan = stage.plan
    return plan


class Planner:
    """Writes the completions of one conversation."""

    def __init__(self, rng, state: KernelState):
        self.rng = rng
        self.state = state
        self.intents: Dict[int, Intent] = {}
        """What the person meant, by the seq of the user entry."""
        self.acts: Dict[str, Act] = {}
        """What each call is, by its id."""
        self.ids: Dict[str, str] = {}
        """The id of each act that was called, by its key."""
        self.helpers: Dict[str, Sequence[Act]] = {}
        """What the helper made by a call has to do, by the id of that call."""
        self._then: Dict[str, Sequence[Act]] = {}
        """What has to follow on an act, by its key."""
        self._written: Dict[int, List[Tuple[Act, Sequence[Act]]]] = {}
        self._standing: Dict[str, Act] = {}
        """The calls of the utterance that is heard just now, by the keys of their acts."""
        self._stream_seq = -1
        self._withdrawn: Set[str] = set()
        """Calls that ended before they were edited or removed: nobody is told of them."""

    # -- what the ledger tells --------------------------------------------------------------------
    def note(self, entry: Entry) -> None:
        """Take note of a new entry: which act a call is, and with what arguments it ran."""
        if entry.kind == Kind.CALL and self._written.get(entry.generation_id):
            act, helper = self._written[entry.generation_id].pop(0)
            self.acts[entry.call_id] = act
            self.ids[act.key] = entry.call_id
            self._standing[act.key] = act
            if helper:
                self.helpers[entry.call_id] = helper
        elif entry.kind == Kind.RETRACT and entry.generation_id:
            self._standing = {k: a for k, a in self._standing.items()
                              if self.ids[k] != entry.call_id}
        elif entry.kind == Kind.COMMIT and entry.call_id in self.acts:
            given = entry.data.get('arguments')
            act = self.acts[entry.call_id]
            if given is not None and act.tool is not None:
                self.acts[entry.call_id] = Act(
                    act.key, act.name, given, act.tool, self.values(act, given), act.said)

    @staticmethod
    def values(act: Act, arguments: Mapping[str, Any]) -> Dict[str, Any]:
        """Return arguments by their canonical names."""
        back = {name: canonical for canonical, name in act.tool.names.items()}
        return {back.get(k, k): v for k, v in arguments.items()}

    # -- writing ----------------------------------------------------------------------------------
    def complete(self, generation_id: int, renderer: Renderer) -> str:
        """Return what a perfect model writes in this generation."""
        answer = self.state.answers[generation_id]
        steps: List[Step] = []
        declined = False
        revised = ''
        for waiting in answer.waiting:
            if waiting.is_person and waiting.seq in self.intents:
                intent = self.intents[waiting.seq]
                if intent.then:
                    self._then[intent.plan[-1].key] = intent.then
                declined = declined or intent.kind == 'no'
                streamed = self.state.ledger[waiting.seq].about_seq >= 0
                if streamed and not renderer.starts_anew and not hasattr(
                        self, '_answer_' + intent.kind):
                    lines, text = self.finish(generation_id, renderer, intent)
                    revised = '\n'.join(filter(None, (revised, lines)))
                    steps.append(Step(text))
                    continue
                steps += self.answer(intent, renderer)
        if answer.instance != MAIN and any(w.trigger == 'task' for w in answer.waiting):
            call_id = self.state.instances[answer.instance].call_id
            steps += [Step('', a) for a in self.helpers.get(call_id, ())]
        if answer.instance == MAIN:
            for waiting in answer.waiting:
                entry = self.state.ledger[waiting.seq]
                if not waiting.is_person and entry.call_id not in self._withdrawn:
                    steps.append(Step(self.tell(entry, waiting.trigger, declined)))
                    steps += self.steps(self._following(entry))
        else:
            steps.append(Step(self.report(answer.instance)))
        texts = [s for s in steps if s.text]
        if len(texts) > 1 and texts[0].text in ('One moment.', 'Okay.'):
            texts[0].text = ''    # there is something to say
        return self.write(generation_id, renderer, steps, revised)

    def _following(self, entry: Entry) -> Sequence[Act]:
        """Return what was to follow on the call whose result this is."""
        act = self.acts.get(entry.call_id)
        if entry.kind != Kind.RESULT or act is None:
            return ()
        following = self._then.pop(act.key, ())
        return following if entry.status == Status.SUCCEEDED else ()

    # -- partial words ----------------------------------------------------------------------------
    def react(self, generation_id: int, renderer: Renderer, intent: Intent) -> str:
        """Return what a perfect model writes when it has heard a part of an utterance."""
        stream = self.state.stream
        if stream.first_seq != self._stream_seq:
            self._stream_seq, self._standing = stream.first_seq, {}
        plan = planned_after(intent, stream.sent)
        if hasattr(self, '_answer_' + intent.kind):
            plan = ()    # what it means hangs on what runs when the words are final
        lines = self._revise(generation_id, renderer, plan, intent.helper)
        return '\n'.join(lines) or PAUSE_MARK

    def _revise(self, generation_id: int, renderer: Renderer, plan: Sequence[Act],
                helper: Sequence[Act] = ()) -> List[str]:
        """
        Return the lines that turn the standing calls into a plan.

        What is taken back first, then what is corrected, then what is new: with the first new line
        the rest of the plan is final (core/stream.py).
        """
        lines = [f'{renderer.format.remove_marker} {self.ids[key]}' for key in self._standing
                 if key not in {a.key for a in plan}]
        wanted = {a.key: a.arguments for a in plan}
        self._withdrawn |= {self.ids[k] for k, a in self._standing.items()
                            if self.ids[k] in self.state.ended_calls
                            and wanted.get(k) != a.arguments}
        number = self.next_number(renderer)
        edited: List[str] = []
        added: List[str] = []
        written: Tuple[List[Tuple[Act, Sequence[Act]]], ...] = ([], [])
        for act in plan:
            before = self._standing.get(act.key)
            if before is None and self._twin(act, renderer):
                continue
            if before is not None and before.arguments == act.arguments:
                continue
            if before is None:
                self.ids[act.key] = f'c{number}'
                number += 1
            (added if before is None else edited).append(self.line(renderer, act, self.ids))
            written[before is None].append(
                (act, helper if act.name in ('fork', 'spawn') else ()))
        self._written.setdefault(generation_id, []).extend(written[0] + written[1])
        return lines + edited + added

    def finish(self, generation_id: int, renderer: Renderer, intent: Intent) -> Tuple[str, str]:
        """Return the lines that correct the plan for the final words, and what is said."""
        standing = {self.ids[k] for k in self._standing}
        acts = [a for a in intent.plan if a.key in self._standing
                or not self._twin(a, renderer, standing)]
        text = [f'I am already {a.gerund()}.' for a in intent.plan if a not in acts]
        text += [intent.reply] if intent.reply else [s.text for s in self.steps(acts)]
        lines = self._revise(generation_id, renderer, acts, intent.helper)
        said = ' '.join(filter(None, text))
        # a read that began early has nothing to show yet
        waits = [a for a in acts if a.reads and a.tool is not None
                 and self.ids.get(a.key) in self.state.calls]
        if not said and not any('{' in line for line in lines):
            said = 'One moment.' if waits else 'Okay.'
        return '\n'.join(lines), said

    def write(self, generation_id: int, renderer: Renderer, steps: Sequence[Step],
              revised: str = '') -> str:
        """
        Return what is said and each call right behind what is said of it, with new ids.

        A small model that first says all and then calls all forgets a call. Remembers which call
        is which act.
        """
        number = self.next_number(renderer) + revised.count('CALL {')
        ids = dict(self.ids)
        acts = [(s.act, s.helper) for s in steps if s.act is not None]
        for act, _ in acts:
            ids[act.key] = f'c{number}'
            number += 1
        lines: List[str] = [revised] if revised else []
        told: List[str] = []
        for step in steps:
            told += [step.text] if step.text else []
            if step.act is not None:
                lines += [' '.join(told)] if told else []
                lines.append(self.line(renderer, step.act, ids))
                told = []
        lines += [' '.join(told)] if told else []
        self._written.setdefault(generation_id, []).extend(acts)
        if not lines and any(w.is_person for w in self.state.answers[generation_id].waiting):
            lines.append('Okay.')
        return '\n'.join(lines)

    @staticmethod
    def line(renderer: Renderer, act: Act, ids: Mapping[str, str]) -> str:
        """Return the line of a call."""
        arguments = {k: f'${ids[v.key]}.{v.field}' if isinstance(v, Ref) else v
                     for k, v in act.arguments.items()}
        # as the ledger keeps it: then what was written is what the next prompt shows
        arguments = json.loads(canonical_json(arguments))
        return renderer.call_line(ids[act.key], act.name, arguments)

    def next_number(self, renderer: Renderer) -> int:
        """Return the number of the next call, as a model sees it that reads this context."""
        prefixes = lineage.prefixes(self.state.ledger[:], renderer.instance)
        seen = [int(e.call_id[1:]) for e in self.state.ledger
                if e.kind == Kind.CALL and e.call_id[1:].isdigit() and (
                    e.instance == renderer.instance or e.seq < prefixes.get(e.instance, 0))]
        return max(seen, default=0) + 1

    # -- the person's words -----------------------------------------------------------------------
    def answer(self, intent: Intent, renderer: Renderer) -> List[Step]:
        """Return what to say to the words of the person, and the calls to make."""
        special = getattr(self, '_answer_' + intent.kind, None)
        if special is not None:
            text, acts = special(intent, renderer)
            return [Step(text), *(Step('', a) for a in acts)]
        acts = [a for a in intent.plan if not self._twin(a, renderer)]
        text = [Step(f'I am already {a.gerund()}.') for a in intent.plan if a not in acts]
        if intent.reply:
            steps = [Step(intent.reply), *(Step('', a) for a in acts)]
        else:
            steps = self.steps(acts)
        for step in steps:
            if step.act is not None and step.act.name in ('fork', 'spawn'):
                step.helper = intent.helper
        return text + steps

    def steps(self, acts: Sequence[Act]) -> List[Step]:
        """Return calls with what is said along with them; reading needs no word."""
        found = [Step('', a) for a in acts]
        for step in found:
            act = step.act
            if act.ack or act.tool is None or act.reads:
                step.text = step.text or act.ack
            elif keys := {v.key for v in act.values.values() if isinstance(v, Ref)}:
                # said before the call that it waits for
                first = next((s for s in found if s.act.key in keys), step)
                first.text = f'Let me {first.act.inf()} first.'
            else:
                step.text = fill(self.rng.choice(act.tool.concept.ack), act.words)
        return found

    def _twin(self, act: Act, renderer: Renderer, but: Collection[str] = ()) -> bool:
        """Tell whether a call runs that equals a state-changing act."""
        return not act.reads and any(
            c.name == act.name and c.call_id not in but
            and canonical_json(c.arguments) == canonical_json(act.arguments)
            for c in renderer.running.values()
            if not any(isinstance(v, Ref) for v in act.arguments.values()))

    def _running(self, renderer: Renderer) -> List[Tuple[str, Act, str]]:
        """Return id, act and latest progress of the calls that the model sees running."""
        found = []
        for call in renderer.running.values():
            act = self.acts.get(call.call_id)
            if act is not None and call.phase != 'cancelling':
                text = call.text if call.text not in ('', 'accepted') else ''
                found.append((call.call_id, act, text))
        return found

    def _answer_progress(self, intent, renderer):
        parts = []
        for _, act, text in self._running(renderer):
            if act.tool is not None:
                parts.append(f'I am still {act.gerund()}' + (f', {text}' if text else '') + '.')
        return ' '.join(parts) or 'Nothing is running at the moment.', []

    def _answer_doing(self, intent, renderer):
        running = self._running(renderer)
        parts = [act.gerund() for _, act, _ in running if act.tool is not None]
        if any(act.name in TIMERS for _, act, _ in running):
            parts.append('waiting for a timer')
        if any(act.name in ('fork', 'spawn') for _, act, _ in running):
            parts.append('waiting for a helper')
        return (f'I am {" and ".join(parts)}.' if parts
                else 'I am doing nothing at the moment.'), []

    def _answer_cancel(self, intent, renderer):
        wanted = intent.plan[0].values.get('key')
        running = self._running(renderer)
        target = next((r for r in running if r[1].key == wanted), None)
        if target is None and wanted is None and running:
            target = running[-1]
        if target is None:
            return 'That is not running any more.', []
        call_id, act, _ = target
        alone = sum(a.name == act.name for _, a, _ in running) == 1
        return '', [Act(intent.plan[0].key, 'cancel', {'call': act.name if alone else call_id})]

    def _answer_instead(self, intent, renderer):
        wanted = intent.plan[0].values.get('key')
        new = intent.plan[1]
        acts = [new]
        target = next((r for r in self._running(renderer) if r[1].key == wanted), None)
        replaces = new.tool.spec.when_busy == Busy.REPLACE and new.tool.spec.resources
        if target is not None and not replaces:
            alone = sum(a.name == target[1].name for _, a, _ in self._running(renderer)) == 1
            acts.insert(0, Act(intent.plan[0].key, 'cancel',
                               {'call': target[1].name if alone else target[0]}))
        return self.steps([new])[0].text, acts

    def _answer_stop(self, intent, renderer):
        stopped = [self.acts[c.call_id].gerund() for c in renderer.running.values()
                   if c.phase == 'cancelling' and c.call_id in self.acts
                   and self.acts[c.call_id].tool is not None]
        return (f'I am stopping {" and ".join(stopped)}.' if stopped else 'Okay.'), []

    def _answer_yes(self, intent, renderer):
        return 'Okay.', []

    def _answer_no(self, intent, renderer):
        return 'All right, I will not do it.', []

    # -- what happened ----------------------------------------------------------------------------
    def tell(self, entry: Entry, trigger: str, declined: bool = False) -> str:
        """Return how an entry is told to the person."""
        act = self.acts.get(entry.call_id)
        if trigger == 'accepted':
            return f'I am {act.gerund()} now.' if act and act.tool else ''
        if trigger == 'timer':
            return self._reminder(entry.data.get('text', ''))
        if entry.kind != Kind.RESULT or act is None:
            return ''
        data = entry.data
        if act.tool is None:
            return self._tell_own(act, entry.status, data)
        if entry.status == Status.SUCCEEDED:
            known = {**act.words, **(data.get('result') or {})}
            told = [t for t in act.tool.concept.told if set(slots(t)) <= set(known)]
            return fill(self.rng.choice(told), known) if told else f'Done: {act.inf()}.'
        if entry.status == Status.FAILED and data.get('error_code') == Error.INVALID_ARGUMENTS:
            return f'Sorry, I could not {act.inf()}, that is not possible here.'
        if entry.status == Status.FAILED:
            return f'Sorry, I could not {act.inf()}: {data.get("error_msg")}.'
        if entry.status == Status.RETRACTED:
            return '' if declined else f'I did not {act.inf()}, nobody said yes.'
        if entry.status == Status.LOST:
            return f'Sorry, I do not know how it ended when I tried to {act.inf()}.'
        return f'I stopped {act.gerund()}.'

    def _tell_own(self, act: Act, status: str, data: Mapping[str, Any]) -> str:
        result = data.get('result') or {}
        if status != Status.SUCCEEDED:
            return f'Sorry, that did not work: {data.get("error_msg")}.'
        if act.name == 'cancel':
            named = [self.acts.get(i) for i in result.get('cancelling', ())]
            words = [a.gerund() if a.tool else 'the timer' if a.name in TIMERS else 'the helper'
                     for a in named if a is not None]
            over = all(i in self.state.ended_calls for i in result.get('cancelling', ()))
            return f'Okay, I {"stopped" if over else "am stopping"} {" and ".join(words)}.'
        if act.name == 'set_timer':
            return self._reminder(result.get('time_is_up', ''))
        if act.name == 'now':
            if act.values.get('day'):
                return f'Today is {result["weekday"]}.'
            return f'It is {result["time"][:5].lstrip("0") or "0"}.' \
                if not result['time'].startswith('00') else f'It is {result["time"][:5]}.'
        if act.name in ('fork', 'spawn'):
            return f'My helper says: {result.get("report", "")}'
        return ''

    @staticmethod
    def _reminder(text: str) -> str:
        return f'It is time to {text}.' if text and text != 'the time is up' else 'The time is up.'

    def report(self, instance: str) -> str:
        """Return what a helper reports: every result that it has."""
        return ' '.join(filter(None, (
            self.tell(e, 'result') for e in self.state.ledger
            if e.kind == Kind.RESULT and e.instance == instance)))
