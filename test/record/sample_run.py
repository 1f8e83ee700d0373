"""A bag of a short conversation, written message by message, for tests of what reads bags."""
import json

from async_agent_ros import __version__
from async_agent_ros.msg import AgentState, Audio, Interrupt, KernelEvent, LedgerEntry, RunningCall
from async_agent_ros.msg import Say, SpeechActivity, SpeechProgress, Transcript, TurnMetrics
from async_agent_ros.record.bag import BagWriter
from async_agent_ros.record.topics import absolute, bag_qos, TOPICS
from builtin_interfaces.msg import Time
import numpy as np
from rclpy.serialization import serialize_message

START_NS = 1_790_000_000 * 10**9
TYPES = {topic.name: topic for topic in TOPICS}


def at(seconds):
    """Return the ROS time that many seconds after the start."""
    return Time(sec=(START_NS + round(seconds * 1e9)) // 10**9,
                nanosec=(START_NS + round(seconds * 1e9)) % 10**9)


class SampleRun:
    """Writes what a real run would have published."""

    def __init__(self, path):
        self.bag = BagWriter(path)
        self.seq = 0
        self.epoch = 0
        self.segment = 0

    def put(self, name, seconds, message):
        topic = TYPES[name]
        self.bag.write(absolute(name, '/agent'), topic.msgtype, [bag_qos(topic.qos)],
                       START_NS + round(seconds * 1e9), serialize_message(message))

    def entry(self, t, kind, content='', **fields):
        if not isinstance(content, str):
            content = json.dumps(content)
        self.put('ledger', t, LedgerEntry(
            session='s1', seq=self.seq, stamp=at(t), instance=fields.pop('instance', 'main'),
            kind=kind, content=content, epoch=self.epoch,
            about_seq=fields.pop('about_seq', -1), **fields))
        self.seq += 1

    def state(self, t, state, generation=0, calls=()):
        self.put('state', t, AgentState(
            stamp=at(t), session='s1', state=state, generation_id=generation, epoch=self.epoch,
            next_seq=self.seq, calls=[
                RunningCall(call_id=c, name=n, phase='running', progress=-1.0,
                            arguments_json='{}', since=at(t)) for c, n in calls]))

    def voice(self, name, start, end, level=0.3):
        rate = 16000 if name == 'audio_in' else 22050
        count = int((end - start) * rate)
        phase = np.arange(count) / rate
        sound = (level * np.abs(np.sin(phase * 9.0)) * np.sin(phase * 1300.0) * 32767)
        for first in range(0, count, rate // 50):
            block = sound[first:first + rate // 50].astype(np.int16)
            self.put(name, start + first / rate, Audio(
                stamp=at(start + first / rate), source='x', sample_rate=rate, channels=1,
                first_sample=int(start * rate) + first, data=block.tolist()))

    def person(self, uid, start, end, text):
        self.voice('audio_in', start, end)
        self.put('speech_activity', start + 0.1, SpeechActivity(
            utterance_id=uid, state='started', stamp=at(start + 0.1), onset=at(start)))
        self.put('speech_activity', end + 0.5, SpeechActivity(
            utterance_id=uid, state='stopped', stamp=at(end + 0.5), onset=at(start),
            end=at(end)))
        self.put('transcript', end + 0.7, Transcript(
            utterance_id=uid, final=True, text=text, stamp=at(end + 0.7)))
        self.entry(end + 0.7, 'user', text, name='speech')

    def robot(self, start, seconds, text, generation, cut_after=None):
        self.segment += 1
        length = cut_after or seconds
        about = {'segment_id': self.segment, 'generation_id': generation}
        self.put('say', start - 0.1, Say(text=text, stamp=at(start - 0.1), **about))
        self.voice('audio_out', start, start + length)
        self.put('speech_progress', start, SpeechProgress(
            state='started', duration_s=seconds, stamp=at(start), **about))
        heard = len(text) if cut_after is None else int(len(text) * cut_after / seconds)
        self.put('speech_progress', start + length, SpeechProgress(
            state='finished' if cut_after is None else 'stopped', heard_chars=heard,
            played_s=float(length), duration_s=seconds, stamp=at(start + length), **about))

    def metrics(self, turn, generation, audible, response, trigger='speech', **fields):
        self.put('metrics', audible, TurnMetrics(
            stamp=at(audible), turn_id=turn, generation_id=generation, trigger=trigger,
            complete=True, response_s=response, end_of_turn_s=0.5, recognition_s=0.2,
            to_generate_s=0.002, first_token_s=response * 0.5 - 0.2,
            first_sentence_s=response * 0.4 - 0.5, first_audio_s=response * 0.1,
            prompt_tokens=900, cached_tokens=850, output_tokens=24, tokens_per_s=28.0, **fields))

    def partial(self, uid, t, text):
        """Write a partial transcript."""
        self.put('transcript', t, Transcript(
            utterance_id=uid, revision=1, final=False, text=text, stamp=at(t)))

    def first_token(self, t, generation):
        """Write the event by which the kernel learned of a first token."""
        self.put('kernel_events', t, KernelEvent(
            session='s1', stamp=at(t), type='FirstToken', version=__version__,
            payload_json=json.dumps({'generation_id': generation, 'epoch': 0})))

    def write_early(self):
        """Write a turn with a dropped draft, an early read that is used, and an early answer."""
        self.state(0.0, 'idle')
        self.partial('u1', 1.4, 'how full')
        self.first_token(1.6, 1)
        self.entry(1.7, 'call', {'arguments': {}}, call_id='s1', name='get_pose',
                   instance='draft', generation_id=1)
        self.entry(1.7, 'commit', {}, call_id='s1', name='get_pose', instance='draft')
        self.partial('u1', 2.0, 'how full is your battery')
        self.entry(2.1, 'end', {
            'finish_reason': 'draft', 'reason': 'the words went on', 'assumed': 'How full',
            'text': 'Let me see.', 'calls': [{'name': 'get_pose', 'arguments': {}}],
            'output_tokens': 9, 'context_seq': 0}, instance='draft', generation_id=1,
            status='retracted')
        self.entry(2.2, 'result', {'error_code': 705, 'error_msg': 'the words went on'},
                   call_id='s1', name='get_pose', instance='draft', status='cancelled')
        self.first_token(2.3, 2)
        self.entry(2.4, 'call', {'arguments': {}}, call_id='s2', name='get_battery',
                   instance='draft', generation_id=2)
        self.entry(2.4, 'commit', {}, call_id='s2', name='get_battery', instance='draft')
        self.entry(2.6, 'result', {'error_code': 0, 'error_msg': '', 'result': {'percent': 81}},
                   call_id='s2', name='get_battery', instance='draft', status='succeeded')
        self.person('u1', 1.0, 2.4, 'How full is your battery?')
        self.state(3.2, 'generating', 2)
        self.entry(3.2, 'call', {'arguments': {}}, call_id='c1', name='get_battery',
                   generation_id=2)
        self.entry(3.2, 'result', {'error_code': 0, 'error_msg': '', 'result': {'percent': 81},
                                   'taken_from': 's2'},
                   call_id='c1', name='get_battery', status='succeeded')
        self.entry(3.3, 'assistant', 'It is at 81 percent. ', generation_id=2)
        self.entry(3.3, 'end', {'finish_reason': 'stop'}, generation_id=2, status='succeeded')
        self.robot(3.4, 1.2, 'It is at 81 percent. ', 2)
        self.metrics(1, 2, 3.4, 1.0, calls=1, early=True, drafts=2, wasted_tokens=9,
                     early_calls=2, early_hits=1, wasted_tool_s=0.5, lead_s=0.8,
                     speculation_paused=['get_pose'])
        self.state(4.6, 'idle')
        self.bag.close()
        assert not self.bag.error

    def write(self):
        """Write the conversation: a drive, a question on the way, an interruption, the arrival."""
        self.entry(0.0, 'system', 'You are a robot.')
        self.state(0.0, 'idle')
        self.person('u1', 1.0, 2.4, 'Please drive to the kitchen.')
        self.state(1.1, 'listening')
        self.state(3.1, 'generating', 1)
        self.entry(3.6, 'assistant', 'On my way to the kitchen. ', generation_id=1)
        self.entry(3.8, 'call', {'arguments': {'room': 'kitchen'}}, call_id='c1',
                   name='navigate_to', generation_id=1)
        self.entry(4.0, 'end', {'finish_reason': 'stop'}, generation_id=1, status='succeeded')
        self.entry(4.0, 'commit', {}, call_id='c1', name='navigate_to')
        self.robot(3.9, 1.6, 'On my way to the kitchen. ', 1)
        self.metrics(1, 1, 3.9, 1.5)
        self.state(4.0, 'emitting', 0, [('c1', 'navigate_to')])
        for step in range(8):
            self.entry(5.0 + 2 * step, 'notification',
                       {'progress': step / 8, 'text': f'{8 - step} m left'}, call_id='c1',
                       name='progress')
        self.state(5.5, 'idle', 0, [('c1', 'navigate_to')])
        self.person('u2', 7.0, 8.2, 'What is your battery level?')
        self.state(7.1, 'listening', 0, [('c1', 'navigate_to')])
        self.state(8.9, 'generating', 2, [('c1', 'navigate_to')])
        self.entry(9.3, 'call', {'arguments': {}}, call_id='c2', name='get_battery',
                   generation_id=2)
        self.entry(9.3, 'commit', {}, call_id='c2', name='get_battery')
        self.entry(9.5, 'result', {'error_code': 0, 'error_msg': '', 'result': {'percent': 81}},
                   call_id='c2', name='get_battery', status='succeeded')
        self.entry(9.9, 'assistant', 'My battery is at 81 percent. ', generation_id=2)
        self.entry(10.0, 'end', {'finish_reason': 'stop'}, generation_id=2, status='succeeded')
        self.robot(10.2, 1.9, 'My battery is at 81 percent. ', 2)
        self.metrics(2, 2, 10.2, 2.0, calls=1)
        self.state(10.2, 'emitting', 0, [('c1', 'navigate_to')])
        self.person('u3', 13.0, 14.0, 'What can you do?')
        self.state(14.7, 'generating', 3, [('c1', 'navigate_to')])
        long = 'I can drive to rooms, pick things up, look around, and tell you my battery. '
        self.entry(15.2, 'assistant', long, generation_id=3)
        self.robot(15.4, 5.2, long, 3, cut_after=2.3)
        self.metrics(3, 3, 15.4, 1.4, interrupted=True)
        self.state(15.4, 'emitting', 3, [('c1', 'navigate_to')])
        self.put('interrupt', 17.6, Interrupt(
            stamp=at(17.6), action='pause', scope='speech', reason='speech', epoch=0))
        self.person('u4', 17.5, 19.0, 'Wait, how far is it to the kitchen?')
        self.epoch = 1
        self.put('interrupt', 19.7, Interrupt(
            stamp=at(19.7), action='stop', scope='speech', reason='barge-in', epoch=1))
        self.entry(19.7, 'interrupt', {'heard': long[:33], 'intended': long,
                                       'reason': 'barge-in', 'scope': 'speech'}, generation_id=3)
        self.state(19.8, 'generating', 4, [('c1', 'navigate_to')])
        self.entry(20.3, 'assistant', 'About three metres. ', generation_id=4)
        self.robot(20.5, 1.2, 'About three metres. ', 4)
        self.metrics(4, 4, 20.5, 1.5)
        self.state(21.7, 'idle', 0, [('c1', 'navigate_to')])
        self.entry(23.0, 'result', {'error_code': 0, 'error_msg': '', 'result': 'arrived'},
                   call_id='c1', name='navigate_to', status='succeeded')
        self.state(23.0, 'generating', 5)
        self.entry(23.4, 'assistant', 'I am in the kitchen now. </script> ', generation_id=5)
        self.robot(23.6, 1.5, 'I am in the kitchen now. ', 5)
        self.metrics(5, 5, 23.6, 0.6, trigger='result')
        self.state(25.1, 'idle')
        self.bag.close()
        assert not self.bag.error
