"""
What may be done before the person's last word: read-only calls, and nothing else.

Early calls are ordinary calls of the instance `draft`: they stand in the ledger, run as any other,
and end once. The turn takes their results by making equal calls; what it does not use is
retracted. Which way the plan comes about is the business of drafts.py and stream.py.
"""
from typing import Any, Dict, Tuple

from async_agent_ros.core import built_in, calls, operands
from async_agent_ros.core.ledger import DRAFT, MAIN
from async_agent_ros.core.plan import Plan, Planned, Standing
from async_agent_ros.core.state import Answer, Assumption, Call, KernelState, NS_PER_S
from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Effect, Kind, Phase, Speculation, Status


def mode(s: KernelState) -> Speculation:
    """Return the mode in force; an unknown one is none."""
    try:
        return Speculation(s.settings.speculation)
    except ValueError:
        return Speculation.OFF


def may_begin(s: KernelState, wanted: Assumption) -> bool:
    """Tell whether a generation on assumed words may begin: nothing else is to do, no cap hit."""
    if (not s.running or s.active is not None or s.cut or s.paused or s.segments or s.held
            or s.retrying or s.deferred or not s.person_has_floor or must_yield(s)):
        return False
    if s.plan is None or s.plan.drafts >= s.settings.speculation_drafts:
        return False
    return wanted.whole or its_time(s)


def must_yield(s: KernelState) -> bool:
    """Tell whether a helper needs the model: nothing is generated on mere assumptions then."""
    return any(one.active is not None for one in s.instances.values())


def its_time(s: KernelState) -> bool:
    """Tell whether the next generation on assumed words may begin; else look again in time."""
    due_ns = s.drafted_ns + round(NS_PER_S / max(s.settings.speculation_per_s, 0.001))
    if s.drafted_ns and s.now_ns < due_ns:
        s.set_timer('speculate', (due_ns - s.now_ns) / NS_PER_S)
        return False
    return True


# -- permission -----------------------------------------------------------------------------------
def may_run_early(s: KernelState, spec: ToolSpec) -> bool:
    """
    Tell whether a tool may be executed before the words are final.

    Only what reads, is allowed to leak its arguments, costs no rate, holds nothing that is held,
    has guessed well enough, and has not been read too often for this utterance.
    """
    if (spec.effect is not Effect.READ_ONLY or spec.name in built_in.TOOLS
            or spec.wait_for_final or spec.max_per_minute > 0.0
            or spec.name in s.guessed_badly):
        return False
    wanted = set(spec.resources)
    if wanted and any(wanted & set(c.spec.resources) for c in s.calls.values()):
        return False
    begun = sum(p.name == spec.name for p in s.plan.early_calls) if s.plan else 0
    return begun < s.settings.speculation_calls


# -- early calls ----------------------------------------------------------------------------------
def open_plan(s: KernelState, utterance_id: str) -> Plan:
    """Return the plan of an utterance; the one of an earlier utterance is closed."""
    if s.plan is None or s.plan.utterance_id != utterance_id:
        close_plan(s)
        s.plan = Plan(utterance_id)
    return s.plan


def fresh_id(s: KernelState) -> str:
    """Return the next unused id of an early call."""
    while f's{s.next_early}' in s.ended_calls or (
            s.plan and f's{s.next_early}' in s.plan.calls):
        s.next_early += 1
    return f's{s.next_early}'


def advance(s: KernelState) -> None:
    """Execute what may run early and has its operands."""
    for planned in list(s.plan.calls.values()) if s.plan else ():
        if planned.standing is not Standing.TENTATIVE or planned.call_id in s.calls:
            continue    # a call of a stream has an entry of its own, and starts by itself
        spec = s.catalogue.get(planned.name)
        if spec is None or not may_run_early(s, spec):
            continue
        try:
            values = operands.replace(planned.arguments, lambda o: _value(s, o))
        except operands.OperandError:
            continue    # not there yet, or never
        if not spec.check_arguments(values) and not _runs_already(s, spec, values):
            _execute(s, planned, spec, values)


def _value(s: KernelState, operand: operands.Operand) -> Any:
    planned = s.plan.calls.get(operand.call_id)
    if planned is not None and (planned.failed or not planned.alive):
        raise operands.OperandError(f'{operand} failed')
    if s.ended_calls.get(operand.call_id) != Status.SUCCEEDED:
        raise operands.OperandError(f'{operand} is not there')
    return operands.part(operand, s.ledger[s.result_seqs[operand.call_id]].data.get('result'))


def _runs_already(s: KernelState, spec: ToolSpec, values: Any) -> bool:
    equal = (spec.name, canonical_json(values))
    return any(c.canonical == equal for c in s.calls.values())


def _execute(s: KernelState, planned: Planned, spec: ToolSpec, values: Any) -> None:
    generation_id = s.draft.answers[-1] if s.draft and s.draft.answers else 0
    entry = s.append(Kind.CALL, {'arguments': planned.arguments}, call_id=planned.call_id,
                     name=spec.name, generation_id=generation_id, instance=DRAFT)
    call = Call(planned.call_id, spec, values, DRAFT, Phase.PENDING, s.now_ns, entry.seq,
                generation_id, cleared=True, resolved=True,
                with_operands=values != planned.arguments)
    s.calls[call.call_id] = call
    calls.commit(s, call)


def on_calls_ended(s: KernelState) -> None:
    """Note the early calls that have ended; their results may be operands of others."""
    if s.plan is None:
        return
    ended = [p for p in s.plan.early_calls if not p.ended_ns and p.call_id in s.ended_calls]
    for planned in ended:
        s.plan.ended(planned, s.ended_calls[planned.call_id] == Status.SUCCEEDED, s.now_ns)
    if ended:
        advance(s)


def withdraw(s: KernelState, planned: Planned, reason: str) -> None:
    """Cancel an early call that is out of the plan; one that has ended is only not used."""
    call = s.calls.get(planned.call_id)
    if call is not None and call.instance == DRAFT:
        calls.cancel(s, call, reason)


# -- the turn -------------------------------------------------------------------------------------
def take(s: KernelState, call: Call) -> bool:
    """Give a call of the conversation the result of an equal early one; tell whether it has."""
    if s.plan is None or call.instance != MAIN or call.spec.effect is not Effect.READ_ONLY:
        return False
    planned = s.plan.claim(call.spec.name, call.arguments, s.now_ns)
    if planned is None:
        return False
    early = s.calls.get(planned.call_id)
    if early is not None:
        early.joined = (*early.joined, call.call_id)
        call.joins, call.phase = early.call_id, Phase.WAITING
        call.text = 'has begun'
        return True
    result = s.ledger[s.result_seqs[planned.call_id]].data.get('result')
    calls.finish(s, call, Status.SUCCEEDED, result=result, taken_from=planned.call_id)
    return True


def answered_by(s: KernelState, answer: Answer) -> None:
    """Remember which generation answers the final words."""
    if s.plan is not None and not s.plan.generation_id and any(
            w.trigger == 'speech' for w in answer.waiting):
        s.plan.generation_id = answer.generation_id
        s.set_timer(f'plan:{s.plan.utterance_id}', s.settings.speculation_keep_s)


def passed_commit_point(s: KernelState, answer: Answer) -> None:
    """Cancel what still runs early and that the turn has no use for."""
    if s.plan is None or s.draft is not None or s.plan.generation_id != answer.generation_id:
        return
    for planned in s.plan.early_calls:
        if planned.standing is Standing.RUNNING:
            planned.standing = Standing.RETRACTED
            withdraw(s, planned, 'the turn has no use for it')


def counts(s: KernelState, answer: Answer) -> Dict[str, float]:
    """Return what speculation brought and cost to the turn that this generation answers."""
    if s.plan is None or s.plan.generation_id != answer.generation_id:
        return {}
    return s.plan.counts(s.now_ns)


def close_plan(s: KernelState) -> None:
    """End the plan of an utterance: what was not used is retracted, and the tools are judged."""
    plan, s.plan = s.plan, None
    if plan is None:
        return
    s.clear_timer(f'plan:{plan.utterance_id}')
    if plan.generation_id in s.answers:
        s.answers[plan.generation_id].counts.update(plan.counts(s.now_ns))
    for planned in plan.early_calls:
        if planned.standing is not Standing.COMMITTED:
            withdraw(s, planned, 'nothing came of the words')
    for planned in plan.calls.values():
        spec = s.catalogue.get(planned.name)
        if spec is not None and spec.effect is Effect.READ_ONLY and (
                planned.early or spec.name in s.guessed_badly):
            _judge(s, spec.name, planned.used)


def on_plan_timer(s: KernelState, utterance_id: str) -> None:
    """Close the plan: what was read early is too old to be used."""
    if s.plan is not None and s.plan.utterance_id == utterance_id:
        close_plan(s)


def _judge(s: KernelState, name: str, right: bool) -> None:
    known: Tuple[bool, ...] = (*s.guesses.get(name, ()), right)[-s.settings.speculation_judged:]
    s.guesses[name] = known
    if len(known) < s.settings.speculation_judged:
        return
    badly = sum(known) < s.settings.speculation_min_hit_rate * len(known)
    if badly == (name in s.guessed_badly):
        return
    (s.guessed_badly.add if badly else s.guessed_badly.discard)(name)
    what = 'is not executed early for now' if badly else 'is executed early again'
    s.append(Kind.NOTIFICATION, {'text': f'{name} {what}: {sum(known)} of the last {len(known)} '
                                 'guesses were right'}, name='speculation', instance=DRAFT)
