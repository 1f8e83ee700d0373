"""
Drafts: what the agent would do if the person had said no more than this (mode `revise`).

On each stable extension of the partial transcript the model generates on the words assumed so far,
behind the same context; the calls that it writes revise the plan. When the final words are the
assumed ones, the draft becomes the answer: nothing of it was said, and nothing but reads was done.
"""
from typing import List, Optional, Tuple

from async_agent_ros.core import answers, calls, effects, events, phrases, speculation
from async_agent_ros.core.ledger import DRAFT, Entry, MAIN
from async_agent_ros.core.plan import Planned, Standing
from async_agent_ros.core.state import Answer, Assumption, Draft, KernelState, Waiting
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.core.words import Error, Kind, Status

MOST_STEPS = 4
"""Generations of one draft: the first, and those that go on with results of early calls."""

_HIDDEN = ('progress', 'waiting')
"""Notifications that come while the person speaks and do not change what a draft has read."""


# -- assumptions ----------------------------------------------------------------------------------
def on_partial(s: KernelState, assumption: Assumption) -> None:
    """Have a draft made on the words so far, unless there is one."""
    speculation.open_plan(s, assumption.utterance_id)
    if s.draft and s.draft.assumption.utterance_id != assumption.utterance_id:
        drop(s, 'the person said something else')
    draft = s.draft
    if draft and draft.assumption.words == assumption.words and _fresh(s, draft):
        s.assumption = None
        draft.assumption = assumption    # the same words, but perhaps the person is done now
        _prepare(s, draft)
        return
    s.assumption = assumption


def start_if_due(s: KernelState) -> None:
    """Ask for a draft of what is assumed, when nothing else is to do and no cap forbids it."""
    wanted = s.assumption
    if wanted is None or (s.draft and _generating(s, s.draft) and not wanted.whole):
        return    # if drafts were given up for every word, a slow model would never finish one
    if not speculation.may_begin(s, wanted):
        return
    s.assumption = None
    drop(s, 'the words went on')
    s.drafted_ns = s.now_ns
    s.plan.drafts += 1
    s.plan.begin_revision()
    s.draft = Draft(wanted, s.epoch, s.ledger.next_seq)
    _generate(s, s.draft, _hypothesis(s, s.draft))


def _generate(s: KernelState, draft: Draft, assumed: Tuple[Entry, ...]) -> None:
    answer = Answer(s.next_generation, s.epoch, draft.context_seq, s.now_ns, instance=DRAFT)
    s.next_generation += 1
    s.answers[answer.generation_id] = answer
    draft.answers.append(answer.generation_id)
    draft.planned[answer.generation_id] = []
    s.emit(effects.Generate(answer.generation_id, s.epoch, draft.context_seq, DRAFT, True,
                            assumed))


def _hypothesis(s: KernelState, draft: Draft) -> Tuple[Entry, ...]:
    """Return the entries that main will hold if the assumption comes true."""
    entries: List[Entry] = []

    def put(kind: Kind, content, **fields) -> None:
        text = content if isinstance(content, str) else canonical_json(content)
        entries.append(Entry(seq=draft.context_seq + len(entries), stamp_ns=s.now_ns, kind=kind,
                             content=text, epoch=s.epoch, **fields))

    put(Kind.USER, draft.assumption.text, name='speech')
    for generation_id in draft.answers:
        planned, results = iter(draft.planned[generation_id]), []
        for event in s.answers[generation_id].outputs:
            if isinstance(event, events.TextGenerated):
                put(Kind.ASSISTANT, event.text.strip(), generation_id=generation_id)
            elif isinstance(event, events.CallGenerated):
                early_id = next(planned)
                call_id = event.call_id or early_id
                put(Kind.CALL, {'arguments': event.arguments}, call_id=call_id, name=event.name,
                    generation_id=generation_id)
                results.append((call_id, s.ledger[s.result_seqs[early_id]]))
        for call_id, result in results:
            put(Kind.RESULT, result.content, call_id=call_id, name=result.name,
                status=result.status)
        put(Kind.END, {'finish_reason': 'stop'}, generation_id=generation_id,
            status=str(Status.SUCCEEDED))
    return tuple(entries)


# -- what a draft writes --------------------------------------------------------------------------
def on_output(s: KernelState, answer: Answer, event) -> None:
    """Keep it; a call revises the plan, and its reads run at once."""
    answer.outputs.append(event)
    draft = s.draft
    if s.plan is None:
        drop(s, 'the plan was closed')
        return
    if isinstance(event, events.CallGenerated):
        planned, dropped = s.plan.propose(speculation.fresh_id(s), event.name, event.arguments,
                                          event.call_id)
        draft.planned[answer.generation_id].append(planned.call_id)
        _withdraw(s, dropped, 'edited')
    elif isinstance(event, events.CallRemoved):
        _withdraw(s, s.plan.remove(event.call_id), 'removed by the model')
    elif isinstance(event, events.TextGenerated):
        _prepare(s, draft)
    elif isinstance(event, events.GenerationEnded) and (
            event.error_code != Error.NONE or event.finish_reason not in ('stop', 'length')):
        drop(s, event.error_msg or 'the draft failed')
        return
    elif isinstance(event, events.GenerationEnded):
        _withdraw(s, s.plan.end_step(), 'the words went on without it')
    speculation.advance(s)


def _withdraw(s: KernelState, dropped: List[Planned], reason: str) -> None:
    for planned in dropped:
        speculation.withdraw(s, planned, reason)


def _prepare(s: KernelState, draft: Draft) -> None:
    """Have the first sentence synthesised, once the person may be done."""
    if draft.prepared or not draft.assumption.whole or not s.voice or s.segments:
        return
    for generation_id in draft.answers:
        for event in s.answers[generation_id].outputs:
            if isinstance(event, events.TextGenerated):
                draft.prepared = True
                s.emit(effects.Prepare(s.epoch, event.text))
                return


def advance(s: KernelState) -> None:
    """Go on with the results of the early calls, or note that the draft is complete."""
    draft = s.draft
    if draft is None or draft.complete or s.plan is None or _generating(s, draft):
        return
    latest = draft.planned[draft.answers[-1]]
    if any(s.plan.calls[i].standing is Standing.RUNNING for i in latest):
        return
    # One call that was edited or removed, and what stands in the prompt is not what will be asked.
    planned = [s.plan.calls[i] for ids in draft.planned.values() for i in ids]
    done = all(p.standing is Standing.DONE and not p.failed for p in planned)
    if latest and done and len(draft.answers) < MOST_STEPS:
        if s.assumption is None and _fresh(s, draft) and s.active is None and not s.cut:
            _generate(s, draft, _hypothesis(s, draft))
        return
    draft.complete = True
    _withdraw(s, s.plan.end_step(last=True), 'the words went on without it')


def _generating(s: KernelState, draft: Draft) -> bool:
    return not _ended(s.answers[draft.answers[-1]])


def _ended(answer: Answer) -> bool:
    return bool(answer.outputs) and isinstance(answer.outputs[-1], events.GenerationEnded)


def _fresh(s: KernelState, draft: Draft, until_seq: Optional[int] = None) -> bool:
    """Tell whether the conversation stands where it stood when the draft read it."""
    if draft.epoch != s.epoch:
        return False
    for entry in s.ledger[draft.context_seq:until_seq]:
        if entry.instance == MAIN and entry.kind not in (Kind.COMMIT, Kind.END) and not (
                entry.kind == Kind.NOTIFICATION and entry.name in _HIDDEN):
            return False
    return True


# -- the end of a draft ---------------------------------------------------------------------------
def adopt(s: KernelState) -> bool:
    """Let the draft, or its next step, answer what waits; tell whether it does."""
    draft = s.draft
    if draft is None:
        return False
    answer = s.answers[draft.answers[0]]
    if not _answers_all(s, draft):
        return False
    draft.answers.pop(0)
    waiting, s.waiting = tuple(s.waiting), []
    s.grouping = False
    answer.instance, answer.waiting = MAIN, waiting
    answer.context_seq = s.ledger.next_seq
    outputs, answer.outputs = answer.outputs, []
    answers.begin(s, answer)
    answer.counts['early'] = 1
    if not draft.answers:
        s.draft = None
    else:
        draft.context_seq = -1    # what follows goes on behind this generation's calls
    for event in outputs:
        _HANDLERS[type(event)](s, event)
    return True


def _answers_all(s: KernelState, draft: Draft) -> bool:
    """Tell whether what waits is exactly what the draft's next generation has read."""
    if draft.epoch != s.epoch:
        return False
    if draft.context_seq < 0:
        return all('taken_from' in s.ledger[w.seq].data for w in s.waiting
                   if w.trigger == 'result') and all(w.trigger == 'result' for w in s.waiting)
    people = [w for w in s.waiting if w.is_person]
    if len(people) != 1 or people[0].trigger != 'speech':
        return False
    words: Waiting = people[0]
    return (tuple(phrases.words(s.ledger[words.seq].content)) == draft.assumption.words
            and words.seq == max(w.seq for w in s.waiting)
            and _fresh(s, draft, words.seq))


def drop(s: KernelState, reason: str) -> None:
    """End the draft; the plan and its reads stay."""
    draft, s.draft = s.draft, None
    if draft is None:
        return
    for generation_id in draft.answers:
        answer = s.answers.pop(generation_id)
        end = answer.outputs[-1] if _ended(answer) else None
        if end is None:
            s.emit(effects.AbortGeneration(generation_id))
            if s.plan is not None:
                s.dropped[generation_id] = s.plan
        elif s.plan is not None:
            s.plan.wasted_tokens += end.output_tokens
        s.append(Kind.END, {
            'finish_reason': 'draft', 'reason': reason, 'assumed': draft.assumption.text,
            'text': ''.join(e.text for e in answer.outputs
                            if isinstance(e, events.TextGenerated)).strip(),
            'calls': [{'name': e.name, 'arguments': e.arguments} for e in answer.outputs
                      if isinstance(e, events.CallGenerated)],
            'output_tokens': end.output_tokens if end else 0,
            'context_seq': answer.context_seq}, status=str(Status.RETRACTED),
            generation_id=generation_id, instance=DRAFT)


def on_late_end(s: KernelState, event) -> bool:
    """Count the tokens of a draft that was aborted; tell whether it was one."""
    plan = s.dropped.pop(event.generation_id, None)
    if plan is not None:
        plan.wasted_tokens += event.output_tokens
    return plan is not None


def abandon(s: KernelState, reason: str) -> None:
    """Nothing comes of the words: end draft and plan."""
    s.assumption = None
    drop(s, reason)
    speculation.close_plan(s)


_HANDLERS = {
    events.FirstToken: answers.on_first_token,
    events.TextGenerated: answers.on_text,
    events.CallGenerated: calls.on_call_generated,
    events.CallRemoved: calls.on_call_removed,
    events.OutputRejected: answers.on_rejected,
    events.GenerationEnded: answers.on_generation_ended,
}
