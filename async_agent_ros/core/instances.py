"""
Helpers: agent instances that work in the background and report to who called them.

A fork shares its parent's context up to the generation that made it (no copy), a spawn begins with
its brief (arXiv 2410.21620, section 3.3). Nobody hears them: their text is the report. An instance
ends when it has nothing left to do, when its call is cancelled, or with its parent.
"""
from async_agent_ros.core import answers, built_in, calls, effects
from async_agent_ros.core.state import Answer, Call, Instance, KernelState, Waiting
from async_agent_ros.core.words import Error, Kind, Status


def start(s: KernelState, call: Call) -> None:
    """Begin the instance of a fork or spawn call; refuse it beyond the bounds."""
    parent = s.instances.get(call.instance)
    depth = parent.depth + 1 if parent else 1
    if depth > s.settings.max_depth:
        refuse(s, call, f'helpers may have helpers to a depth of {s.settings.max_depth}; '
               'do it yourself')
        return
    if len(s.instances) >= s.settings.max_instances:
        refuse(s, call, f'{len(s.instances)} helpers run already and no more are allowed; wait '
               'for one to end')
        return
    name = f'i{s.next_instance}'
    s.next_instance += 1
    kind = Kind.FORK if call.spec.name == 'fork' else Kind.SPAWN
    maker = s.answers.get(call.generation_id)
    content = {'parent': call.instance,
               'task': call.arguments.get('task') or call.arguments.get('brief', '')}
    if kind == Kind.FORK:
        content['until_seq'] = maker.context_seq if maker else call.call_seq
    else:
        content['tools'] = list(call.arguments.get('tools') or [])
    entry = s.append(kind, content, call_id=call.call_id, instance=name, about_seq=call.call_seq)
    s.instances[name] = Instance(
        name, call.instance, call.call_id, depth, tuple(content.get('tools', ())),
        waiting=[Waiting(entry.seq, 'task', s.now_ns, turns=call.turns)])


def refuse(s: KernelState, call: Call, reason: str) -> None:
    """End a fork or spawn that is not allowed."""
    calls.finish(s, call, Status.FAILED, Error.REJECTED, reason)


def may_call(s: KernelState, instance: str, tool: str) -> bool:
    """Tell whether an instance was given the tool."""
    one = s.instances.get(instance)
    return one is None or not one.tools or tool in one.tools


def start_due(s: KernelState) -> None:
    """Ask for a generation of every instance that has something to answer."""
    if not s.running or s.retrying:
        return
    for one in list(s.instances.values()):
        if one.active is not None or not one.waiting or waits(s, one.name, one.waiting):
            continue
        if one.steps >= s.settings.max_chain:
            end(s, one, Status.FAILED, f'{one.steps} generations and no end of it')
            continue
        one.steps += 1
        waiting, one.waiting = tuple(one.waiting), []
        answer = Answer(s.next_generation, s.epoch, s.ledger.next_seq, s.now_ns, waiting,
                        instance=one.name)
        s.next_generation += 1
        s.answers[answer.generation_id] = answer
        one.active = answer.generation_id
        s.emit(effects.Generate(answer.generation_id, s.epoch, answer.context_seq, one.name))


def waits(s: KernelState, instance: str, waiting) -> bool:
    """Tell whether all that waits are results that a `wait` call wants together."""
    held = built_in.awaited(s, instance)
    return bool(held) and all(w.trigger == 'result' and s.ledger[w.seq].call_id in held
                              for w in waiting)


def on_generation_ended(s: KernelState, answer: Answer) -> None:
    """Keep the text of a good generation as the report so far."""
    one = s.instances[answer.instance]
    one.active = None
    text = ' '.join(x.text.strip() for x in answer.stretches if x.text.strip())
    if text:
        one.report = text


def end_finished(s: KernelState) -> None:
    """End the instances that have nothing left to do, children before parents."""
    for one in reversed(list(s.instances.values())):
        if (one.name in s.instances and one.active is None and not one.waiting
                and not any(c.instance == one.name for c in s.calls.values())):
            end(s, one, Status.SUCCEEDED, '')


def end_of_call(s: KernelState, call: Call, status: Status, reason: str) -> None:
    """End the instance that a call began, if it began one."""
    for one in list(s.instances.values()):
        if one.call_id == call.call_id:
            close(s, one, status, reason)


def end(s: KernelState, one: Instance, status: Status, reason: str) -> None:
    """End an instance and report to its parent by the result of its call."""
    close(s, one, status, reason)
    call = s.calls.get(one.call_id)
    if call is not None:
        error = Error.NONE if status == Status.SUCCEEDED else Error.TOOL_FAILED
        calls.finish(s, call, status, error, reason, {'report': one.report})


def close(s: KernelState, one: Instance, status: Status, reason: str) -> None:
    """Write the one end of an instance; its generation and its calls end with it."""
    if s.instances.pop(one.name, None) is None:
        return
    if one.active is not None:
        answer = s.answers[one.active]
        answer.generating = False
        answers.flush(s, answer)
        calls.retract_pending(s, answer.generation_id, reason)
        answer.finish = {'finish_reason': 'aborted'}
        s.emit(effects.AbortGeneration(answer.generation_id))
        answers.end(s, answer, Status.CANCELLED)
    for call in list(s.calls.values()):
        if call.instance == one.name and call.call_id in s.calls:
            calls.cancel(s, call, f'its helper {one.name} ended: {reason}')
    content = {'report': one.report}
    if reason:
        content['reason'] = reason
    s.append(Kind.END, content, status=str(status), instance=one.name, call_id=one.call_id)
