"""The silent voice of a what-if speaks, holds and stops like tts, with the recorded speed."""
import threading
import time

from async_agent_ros.msg import Interrupt, Say, SpeechProgress
from async_agent_ros.nodes import qos
from async_agent_ros.record.recorded_person import RecordedVoice
from async_agent_ros.record.runs import Voice
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

TEXT = 'I can drive from room to room and carry things. '


class Speaker:
    """A voice, and a manager that talks to it."""

    def __init__(self, voice):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('manager', namespace='/voice_test', context=self.context)
        self.got = []
        self.say = self.node.create_publisher(Say, 'say', qos.COMMAND)
        self.interrupt = self.node.create_publisher(Interrupt, 'interrupt', qos.COMMAND)
        self.node.create_subscription(SpeechProgress, 'speech_progress', self.got.append,
                                      qos.EVENT_ALIVE)
        self.voice = RecordedVoice(self.node, voice)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()
        self.wait(lambda: self.say.get_subscription_count()
                  and self.interrupt.get_subscription_count()
                  and self.node.count_subscribers('/voice_test/speech_progress'))

    def _spin(self):
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def speak(self, segment_id, text=TEXT, interruptible=True):
        self.say.publish(Say(segment_id=segment_id, text=text, interruptible=interruptible))

    def order(self, action, epoch=0):
        self.interrupt.publish(Interrupt(action=action, epoch=epoch))

    def states(self, segment_id):
        return [m.state for m in list(self.got) if m.segment_id == segment_id]

    def last(self, segment_id):
        return [m for m in list(self.got) if m.segment_id == segment_id][-1]

    def wait(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, [(m.segment_id, m.state) for m in self.got]
            time.sleep(0.005)

    def close(self):
        self.stop.set()
        self.thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def speaker():
    made = []

    def make(*voice):
        made.append(Speaker(Voice(*voice)))
        return made[-1]
    yield make
    for each in made:
        each.close()


def test_segments_follow_one_another(speaker):
    s = speaker(0.05, 100.0)
    s.speak(1)
    s.speak(2, 'Yes. ')
    s.wait(lambda: s.states(2) == ['started', 'finished'])
    assert s.states(1) == ['started', 'finished']
    order = [(m.segment_id, m.state) for m in s.got]
    assert order.index((1, 'finished')) < order.index((2, 'started'))
    assert s.last(1).heard_chars == len(TEXT)


def test_it_is_held_goes_on_and_stops_at_a_word(speaker):
    s = speaker(0.0, 20.0)
    s.speak(1)
    s.speak(2)
    s.wait(lambda: s.states(1) == ['started'])
    time.sleep(0.4)    # some of it is heard: how much is what is tested
    s.order('pause')
    s.wait(lambda: s.states(1) == ['started', 'paused'])
    held = s.last(1).played_s
    assert held > 0.2
    s.order('resume')
    s.wait(lambda: 'resumed' in s.states(1))
    assert s.last(1).played_s == pytest.approx(held, abs=0.05)
    s.order('stop', epoch=1)
    s.wait(lambda: s.states(2) == ['stopped'])
    cut = s.last(1)
    assert cut.state == 'stopped' and 0 < cut.heard_chars < len(TEXT)
    assert TEXT[cut.heard_chars - 1] == ' ', 'cut at the end of a word'
    assert s.last(2).heard_chars == 0, 'nothing of it was heard'
    s.speak(3)    # of the epoch that is over
    s.wait(lambda: s.states(3) == ['stopped'])


def test_what_may_not_be_interrupted_is_finished(speaker):
    s = speaker(0.0, 100.0)
    s.speak(1, interruptible=False)
    s.wait(lambda: s.states(1))
    s.order('pause')
    s.order('stop', epoch=1)
    s.wait(lambda: s.states(1) == ['started', 'finished'])


def test_on_a_screen_all_is_heard_at_once(speaker):
    s = speaker(0.0, 0.0)
    s.speak(1)
    s.wait(lambda: s.states(1) == ['started', 'finished'])
    assert s.last(1).heard_chars == len(TEXT)
