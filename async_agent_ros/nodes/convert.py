"""Between the core's types and the messages."""
import json

from async_agent_ros import __version__
from async_agent_ros.core import effects
from async_agent_ros.core.events import Event
from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.state import KernelState, NS_PER_S
from async_agent_ros.core.words import Kind
from async_agent_ros.msg import AgentState, CallCommand, KernelEvent, LedgerEntry, RunningCall
from async_agent_ros.msg import TurnMetrics
from async_agent_ros.nodes.node_base import to_ns, to_time


def entry_to_msg(entry: Entry, session: str) -> LedgerEntry:
    """Return the message of an entry."""
    return LedgerEntry(
        session=session, seq=entry.seq, stamp=to_time(entry.stamp_ns), instance=entry.instance,
        kind=str(entry.kind), call_id=entry.call_id, name=entry.name,
        generation_id=entry.generation_id, epoch=entry.epoch, about_seq=entry.about_seq,
        status=str(entry.status), content=entry.content)


def entry_from_msg(msg: LedgerEntry) -> Entry:
    """Return the entry in a message; raises ValueError for an unknown kind."""
    return Entry(
        seq=msg.seq, stamp_ns=to_ns(msg.stamp), kind=Kind(msg.kind), content=msg.content,
        instance=msg.instance, call_id=msg.call_id, name=msg.name,
        generation_id=msg.generation_id, epoch=msg.epoch, about_seq=msg.about_seq,
        status=msg.status)


def event_to_msg(event: Event, session: str, index: int, entries) -> KernelEvent:
    """Return the record of an event and of the entries that it caused."""
    return KernelEvent(
        session=session, index=index, stamp=to_time(event.stamp_ns), priority=event.PRIORITY,
        type=type(event).__name__,
        payload_json=json.dumps(event.to_json(), separators=(',', ':'), ensure_ascii=False),
        first_seq=entries[0].seq if entries else 0, entry_count=len(entries),
        version=__version__)


def state_to_msg(state: KernelState, stamp) -> AgentState:
    """Return the visible state."""
    return AgentState(
        stamp=stamp, session=state.session, state=str(state.phase), epoch=state.epoch,
        next_seq=state.ledger.next_seq, generation_id=state.active or 0,
        playback_paused=state.paused, instances=[MAIN, *state.instances],
        calls=[RunningCall(
            call_id=c.call_id, name=c.spec.name, instance=c.instance, phase=str(c.phase),
            arguments_json=json.dumps(c.arguments, ensure_ascii=False), progress=c.progress,
            feedback=c.text, since=to_time(c.since_ns)) for c in state.calls.values()])


def execute_to_msg(effect: effects.Execute, session: str, stamp) -> CallCommand:
    """Return the order to run a call."""
    return CallCommand(
        command=CallCommand.EXECUTE, session=session, call_id=effect.call_id,
        instance=effect.instance, name=effect.spec.name, action_name=effect.spec.action_name,
        arguments_json=json.dumps(effect.arguments, ensure_ascii=False),
        timeout_s=float(effect.spec.timeout_s), commit_seq=effect.commit_seq, stamp=stamp)


def _gap_s(stamps, first: str, second: str) -> float:
    begin, end = stamps.get(first, 0), stamps.get(second, 0)
    return (end - begin) / NS_PER_S if begin and end else -1.0


def metrics_to_msg(effect: effects.TurnMeasured, turn_id: int, stamp) -> TurnMetrics:
    """Return the latencies of an answer; -1.0 where a stage did not happen."""
    stamps, counts = effect.stamps_ns, effect.counts
    start = 'speech_end' if stamps.get('speech_end') else 'trigger'
    tokens, decode_s = int(counts.get('output_tokens', 0)), counts.get('decode_s', 0.0)
    return TurnMetrics(
        stamp=stamp, turn_id=turn_id, generation_id=effect.generation_id,
        trigger=effect.trigger, complete=effect.complete, interrupted=effect.interrupted,
        end_of_turn_s=_gap_s(stamps, 'speech_end', 'declared'),
        recognition_s=_gap_s(stamps, 'declared', 'trigger'),
        to_generate_s=_gap_s(stamps, 'trigger', 'requested'),
        first_token_s=_gap_s(stamps, 'requested', 'first_token'),
        first_sentence_s=_gap_s(stamps, 'first_token', 'first_sentence'),
        first_audio_s=_gap_s(stamps, 'first_sentence', 'first_audio'),
        response_s=_gap_s(stamps, start, 'first_audio'),
        prompt_tokens=int(counts.get('prompt_tokens', 0)),
        cached_tokens=int(counts.get('cached_tokens', 0)), output_tokens=tokens,
        tokens_per_s=(tokens - 1) / decode_s if decode_s > 0 and tokens > 1 else -1.0,
        calls=int(counts.get('calls', 0)), early=bool(counts.get('early', 0)),
        drafts=int(counts.get('drafts', 0)), wasted_tokens=int(counts.get('wasted_tokens', 0)),
        early_calls=int(counts.get('early_calls', 0)),
        early_hits=int(counts.get('early_hits', 0)),
        wasted_tool_s=float(counts.get('wasted_tool_s', 0.0)),
        lead_s=float(counts.get('lead_s', 0.0)),
        speculation_paused=list(effect.speculation_paused))
