"""What happened in a run, gathered from its bag: the data of the report."""
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from async_agent_ros.record.early import draft_lane, early_lanes
from async_agent_ros.record.reader import BagReader, stamp_ns
from async_agent_ros.record.stereo import envelope, RATE, Track
from async_agent_ros.watch.speculation import DRAFT, Speculation, total
from async_agent_ros.watch.view import AgentView, compact, content_of, NS_PER_S

TOPICS = ('state', 'speech_activity', 'transcript', 'say', 'speech_progress', 'interrupt',
          'metrics', 'ledger', 'tools', 'kernel_events')
STAGES = ('end_of_turn_s', 'recognition_s', 'to_generate_s', 'first_token_s', 'first_sentence_s',
          'first_audio_s')
"""Stages of TurnMetrics whose sum is the response, in order."""

WAVE_WINDOW_S = 0.02
_END_OF_TIME = 0


@dataclass
class Timeline:
    """A run, times in nanoseconds of ROS time."""

    path: Path
    view: AgentView = field(default_factory=AgentView)
    states: List[List[Any]] = field(default_factory=list)
    """[state, from, until]"""
    generations: List[List[int]] = field(default_factory=list)
    """[generation id, from, until]"""
    partials: List[List[Any]] = field(default_factory=list)
    """[utterance id, stamp, text]"""
    progress: Dict[str, List[List[Any]]] = field(default_factory=dict)
    """call id -> [stamp, progress, text]"""
    first_tokens: Dict[int, int] = field(default_factory=dict)
    """generation id -> stamp of its first token, as the kernel learned it"""
    person: Track = field(default_factory=Track)
    robot: Track = field(default_factory=Track)
    topics: Dict[str, int] = field(default_factory=dict)
    complete: bool = True
    start_ns: int = 0
    end_ns: int = 0

    @classmethod
    def from_bag(cls, path: Path) -> 'Timeline':
        """Read a bag or the folder of a run; raises BagReadError."""
        reader = BagReader(path)
        self = cls(path=Path(path))
        stamps: List[int] = []
        for record in reader.records():
            self.topics[record.topic] = self.topics.get(record.topic, 0) + 1
            name = record.topic.rsplit('/', 1)[-1]
            if name in ('audio_in', 'audio_out'):
                (self.person if name == 'audio_in' else self.robot).add(reader.decode(record))
            elif name in TOPICS and record.msgtype.startswith('async_agent_ros/'):
                stamps.append(self._take(name, reader.decode(record)))
        self.complete = reader.complete
        stamps = [s for s in stamps if s]
        for track in (self.person, self.robot):
            stamps += [s for s in track.span_ns if s]
        self.start_ns, self.end_ns = (min(stamps), max(stamps)) if stamps else (0, 0)
        for spans in (self.states, self.generations):
            if spans and not spans[-1][2]:
                spans[-1][2] = self.end_ns
        return self

    def _take(self, name: str, message: Any) -> int:
        stamp = stamp_ns(message.stamp)
        if name == 'kernel_events':
            if message.type == 'FirstToken':
                generation_id = json.loads(message.payload_json).get('generation_id', 0)
                self.first_tokens.setdefault(generation_id, stamp)
            return 0
        if name == 'state':
            self._take_state(message, stamp)
        elif name == 'transcript' and not message.final:
            self.partials.append([message.utterance_id, stamp, message.text])
        self.view.apply(name, message)
        if name == 'ledger' and message.kind == 'notification' and message.call_id:
            call = self.view.calls.get(message.call_id)
            if call is not None and message.name in ('accepted', 'progress'):
                self.progress.setdefault(message.call_id, []).append(
                    [stamp, call.progress, call.feedback])
        return stamp

    def _take_state(self, message, stamp):
        if not self.states or self.states[-1][0] != message.state:
            if self.states:
                self.states[-1][2] = stamp
            self.states.append([message.state, stamp, _END_OF_TIME])
        running = self.generations[-1] if self.generations else None
        if running and not running[2] and running[0] != message.generation_id:
            running[2] = stamp
            running = None
        if message.generation_id and (running is None or running[2]):
            if all(g[0] != message.generation_id for g in self.generations):
                self.generations.append([int(message.generation_id), stamp, _END_OF_TIME])

    def seconds(self, moment_ns: int) -> float:
        """Return a moment as seconds since the start, rounded to the millisecond."""
        return round((moment_ns - self.start_ns) / NS_PER_S, 3)

    @property
    def turns(self) -> List[Any]:
        """The metrics of every answer, the latest report of each."""
        return list(self.view.metrics.values())

    def yields_s(self) -> List[float]:
        """
        Return for each barge-in the seconds from the person's onset to the robot's silence.

        Taken where the person notices it: the onset as asr dates it, the silence as the sink
        reports it (held or cut, whichever came first).
        """
        found = []
        for utterance in self.view.utterances.values():
            for segment in self.view.segments.values():
                if not segment.started_ns or not utterance.onset_ns:
                    continue
                ended = segment.ended_ns or self.end_ns
                if not segment.started_ns < utterance.onset_ns < ended:
                    continue
                held = [a for a, _ in segment.pauses if a >= utterance.onset_ns]
                if segment.state == 'stopped' or held:
                    silent = min(held + [ended])
                    found.append((silent - utterance.onset_ns) / NS_PER_S)
        return found


def _person_lane(t: Timeline) -> List[Dict[str, Any]]:
    items = []
    for utterance in t.view.utterances.values():
        if not utterance.onset_ns:
            continue
        end = utterance.end_ns or t.end_ns
        items.append({
            's': t.seconds(utterance.onset_ns), 'e': t.seconds(end),
            'label': utterance.text or '(nothing understood)', 'style': 'person',
            'tip': f'heard: {utterance.text or "nothing"}\nfinal transcript at '
                   f'{t.seconds(utterance.final_ns):.2f} s' if utterance.final_ns else 'heard'})
    return items


def _transcript_lane(t: Timeline) -> List[Dict[str, Any]]:
    marks = [{'s': t.seconds(stamp), 'label': text, 'style': 'partial', 'tip': f'partial: {text}'}
             for _, stamp, text in t.partials]
    marks += [{'s': t.seconds(u.final_ns), 'label': u.text or '(nothing understood)',
               'style': 'final', 'tip': f'final transcript: {u.text or "(empty)"}'}
              for u in t.view.utterances.values() if u.final_ns]
    marks += [{'s': t.seconds(stamp_ns(e.stamp)), 'label': e.content, 'style': 'final',
               'seq': int(e.seq), 'tip': f'text input: {e.content}'}
              for e in t.view.ledger if e.kind == 'user' and e.name not in ('speech', 'partial')]
    return sorted(marks, key=lambda m: m['s'])


def _generation_lane(t: Timeline) -> List[Dict[str, Any]]:
    said: Dict[int, str] = {}
    ends: Dict[int, Any] = {}
    for e in t.view.ledger:
        if e.instance == DRAFT:
            continue
        if e.kind == 'assistant':
            said[e.generation_id] = said.get(e.generation_id, '') + e.content
        elif e.kind == 'call' and e.generation_id:
            said[e.generation_id] = said.get(e.generation_id, '') + f' [{e.name}] '
        elif e.kind == 'end' and e.generation_id:
            ends[e.generation_id] = e
    metrics = {m.generation_id: m for m in t.turns}
    items = []
    for generation, start, until in t.generations:
        m, end = metrics.get(generation), ends.get(generation)
        if end is not None:
            until = stamp_ns(end.stamp)
        tip = [f'generation {generation}', said.get(generation, '').strip()]
        item = {'s': t.seconds(start), 'e': t.seconds(until), 'label': f'g{generation}',
                'style': 'generation', 'gen': generation}
        if m is not None:
            if m.first_token_s >= 0:
                item['mark'] = round(item['s'] + m.first_token_s, 3)
            tip.append(f'prompt {m.prompt_tokens} tokens ({m.cached_tokens} cached), '
                       f'output {m.output_tokens}'
                       + (f', {m.tokens_per_s:.0f} tokens/s' if m.tokens_per_s > 0 else ''))
        if end is not None:
            item['seq'] = int(end.seq)
            tip.append(f'{end.status} {end.content}')
            if end.status != 'succeeded':
                item['style'] = 'generation-cut'
        item['tip'] = '\n'.join(x for x in tip if x)
        items.append(item)
    return items


def _call_lanes(t: Timeline) -> List[Dict[str, Any]]:
    seqs = {e.call_id: int(e.seq) for e in reversed(t.view.ledger) if e.kind == 'call'}
    lanes = []
    for call in t.view.calls.values():
        if call.early:
            continue
        end = call.ended_ns or t.end_ns
        status = call.status or 'running'
        arguments = compact(call.arguments or {}, 60)
        outcome = call.error or ('' if call.result is None else compact(call.result, 200))
        item = {'s': t.seconds(call.called_ns), 'e': t.seconds(end), 'style': f'call-{status}',
                'label': f'{call.name}({arguments})', 'call': call.call_id,
                'tip': (f'{call.call_id} {call.name}({arguments})\n'
                        f'{status}{": " if outcome else ""}{outcome}\n'
                        f'{(end - call.called_ns) / NS_PER_S:.2f} s'),
                'ticks': [[t.seconds(s), p] for s, p, _ in t.progress.get(call.call_id, ())
                          if p >= 0]}
        if call.call_id in seqs:
            item['seq'] = seqs[call.call_id]
        if call.started_ns:
            item['mark'] = t.seconds(call.started_ns)
        lanes.append({'id': f'call {call.call_id}', 'name': call.name, 'kind': 'spans',
                      'items': [item]})
    return lanes


def _instance_lanes(t: Timeline) -> List[Dict[str, Any]]:
    ends = {e.instance: e for e in t.view.ledger if e.kind == 'end' and not e.generation_id}
    lanes = []
    for e in t.view.ledger:
        if e.kind not in ('fork', 'spawn'):
            continue
        task, end = content_of(e).get('task', ''), ends.get(e.instance)
        tip = [f'{e.instance}, {e.kind} of {content_of(e).get("parent", "")}: {task}']
        if end is not None:
            value = content_of(end)
            tip += [f'{end.status} {value.get("reason", "")}'.strip(), value.get('report', '')]
        lanes.append({'id': f'instance {e.instance}', 'name': f'helper {e.instance}',
                      'kind': 'spans', 'items': [{
                          's': t.seconds(stamp_ns(e.stamp)),
                          'e': t.seconds(stamp_ns(end.stamp) if end is not None else t.end_ns),
                          'label': task, 'seq': int(e.seq), 'tip': '\n'.join(x for x in tip if x),
                          'style': ('generation' if end is None or end.status == 'succeeded'
                                    else 'generation-cut')}]})
    return lanes


def _robot_lane(t: Timeline) -> List[Dict[str, Any]]:
    items = []
    for segment in t.view.segments.values():
        if not segment.started_ns:
            continue
        end = segment.ended_ns or t.end_ns
        heard = segment.text[:segment.heard_chars].strip()
        cut = segment.state == 'stopped'
        items.append({
            's': t.seconds(segment.started_ns), 'e': t.seconds(end), 'gen': segment.generation_id,
            'label': segment.text.strip(), 'style': 'robot-cut' if cut else 'robot',
            'pauses': [[t.seconds(a), t.seconds(b or end)] for a, b in segment.pauses],
            'tip': '\n'.join(
                [segment.text.strip()] + ([f'cut off, heard: "{heard}"'] if cut else [])
                + [f'released at {t.seconds(segment.said_ns):.2f} s'])})
    return items


def _interrupts(t: Timeline) -> List[Dict[str, Any]]:
    return [{'s': t.seconds(stamp_ns(m.stamp)), 'label': m.action, 'style': f'int-{m.action}',
             'tip': f'{m.action} ({m.reason or "no reason given"}), scope {m.scope or "speech"}, '
                    f'epoch {m.epoch}'} for m in t.view.interrupts]


def _wave(t: Timeline, track: Track) -> Optional[List[int]]:
    if track.span_ns == (0, 0):
        return None
    samples = track.render(t.start_ns, t.end_ns)
    # The square root lets quiet speech be seen beside loud speech.
    peaks = np.sqrt(envelope(samples, round(WAVE_WINDOW_S * RATE)))
    return [int(v) for v in np.round(peaks * 99)]


def _turn(t: Timeline, m: Any) -> Dict[str, Any]:
    said = ''.join(s.text for s in t.view.segments.values()
                   if s.generation_id == m.generation_id)
    starts = [s.started_ns for s in t.view.segments.values()
              if s.generation_id == m.generation_id and s.started_ns]
    value = {'turn': int(m.turn_id), 'gen': int(m.generation_id), 'trigger': m.trigger,
             'complete': bool(m.complete), 'interrupted': bool(m.interrupted),
             'response': round(float(m.response_s), 3), 'said': said.strip(),
             'stages': [round(float(getattr(m, name)), 3) for name in STAGES],
             'prompt': int(m.prompt_tokens), 'cached': int(m.cached_tokens),
             'output': int(m.output_tokens), 'speed': round(float(m.tokens_per_s), 1),
             'calls': int(m.calls), 'early': Speculation.of(m).text()}
    if starts:
        value['audible'] = t.seconds(min(starts))
    return value


def report_data(t: Timeline) -> Dict[str, Any]:
    """Return everything that the report's page draws, as JSON values; times in seconds."""
    lanes = [
        {'id': 'person', 'name': 'person', 'kind': 'spans', 'wave': _wave(t, t.person),
         'items': _person_lane(t)},
        {'id': 'heard', 'name': 'transcripts', 'kind': 'marks', 'items': _transcript_lane(t)},
        {'id': 'state', 'name': 'state', 'kind': 'spans', 'thin': True, 'items': [
            {'s': t.seconds(a), 'e': t.seconds(b), 'label': s, 'style': f'state-{s}', 'tip': s}
            for s, a, b in t.states]},
        {'id': 'generation', 'name': 'generation', 'kind': 'spans',
         'items': _generation_lane(t)},
        *draft_lane(t),
        *early_lanes(t),
        *_call_lanes(t),
        *_instance_lanes(t),
        {'id': 'robot', 'name': 'robot', 'kind': 'spans', 'wave': _wave(t, t.robot),
         'items': _robot_lane(t)},
    ]
    ledger = [{'seq': int(e.seq), 't': t.seconds(stamp_ns(e.stamp)), 'kind': e.kind,
               'instance': e.instance, 'call': e.call_id, 'name': e.name,
               'gen': int(e.generation_id), 'status': e.status, 'about': int(e.about_seq),
               'content': e.content} for e in t.view.ledger]
    turns = [_turn(t, m) for m in t.turns]
    responses = [m['response'] for m in turns if m['response'] >= 0]
    spoken = [m['response'] for m in turns if m['response'] >= 0 and m['trigger'] == 'speech']
    statuses = [c.status or 'running' for c in t.view.calls.values() if not c.early]
    made = [Speculation.of(m) for m in t.turns]
    spent = total(made)
    return {
        'session': t.view.session, 'start_ns': t.start_ns,
        'duration': t.seconds(t.end_ns), 'complete': t.complete, 'bag': str(t.path),
        'lanes': lanes, 'interrupts': _interrupts(t), 'ledger': ledger, 'turns': turns,
        'wave_window': WAVE_WINDOW_S,
        'summary': {
            'answers': len(turns),
            'median_response': statistics.median(responses) if responses else None,
            'median_spoken': statistics.median(spoken) if spoken else None,
            'worst_response': max(responses, default=None),
            'yields': [round(y, 3) for y in t.yields_s()],
            'calls': {status: statuses.count(status) for status in dict.fromkeys(statuses)},
            'speculation': {
                **spent._asdict(), 'early': sum(s.early for s in made), 'text': spent.text(),
                'output_tokens': sum(m['output'] for m in turns)} if spent.made else None,
            'stops': sum(m.action == 'stop' for m in t.view.interrupts),
            'messages': sum(t.topics.values())},
    }
