"""What was heard is known to the sample, whatever is paused, stopped or late."""
from async_agent_ros.speech import playback as pb
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

RATE = 1000
MS = 1_000_000
BLOCK = 10


class Room:
    """A sink on a clock of its own: 10 samples are 10 ms."""

    def __init__(self, **options):
        self.playback = pb.Playback(RATE, fade_s=0.005, **options)
        self.now_ns = 0
        self.heard = np.zeros(0, np.int16)
        self.reports = []

    def say(self, number, samples=100, epoch=0, interruptible=True, text_chars=10):
        accepted = self.playback.add(
            number, written_chars=text_chars, epoch=epoch, interruptible=interruptible,
            now_ns=self.now_ns)
        if accepted:
            marks = [(samples // 2, text_chars // 2), (samples, text_chars)]
            self.playback.append(number, np.full(samples, 1000 + number, np.int16), marks)
            self.playback.complete(number)

    def run(self, blocks=1):
        for _ in range(blocks):
            self.heard = np.append(self.heard, self.playback.render(BLOCK, self.now_ns))
            self.now_ns += BLOCK * MS
            self.reports += self.playback.poll(self.now_ns)

    def states(self, number):
        return [r.state for r in self.reports if r.segment_id == number and r.state != pb.PLAYING]

    def last(self, number):
        return [r for r in self.reports if r.segment_id == number][-1]


def test_segments_play_in_order_and_finish_once():
    room = Room()
    room.say(1)
    room.say(2, samples=55)
    room.run(20)
    assert room.states(1) == room.states(2) == [pb.STARTED, pb.FINISHED]
    assert room.last(1).heard_chars == 10
    assert room.last(1).played_s == pytest.approx(0.1)
    assert room.last(1).stamp_ns == 100 * MS
    assert room.last(2).stamp_ns == 155 * MS
    assert (room.heard[:100] == 1001).all() and (room.heard[100:155] == 1002).all()
    assert not room.playback.wanted()


def test_playing_is_reported_about_every_100_ms():
    room = Room()
    room.say(1, samples=1000)
    room.run(100)
    playing = [r for r in room.reports if r.state == pb.PLAYING]
    assert 8 <= len(playing) <= 10
    assert [r.stamp_ns for r in playing] == sorted(r.stamp_ns for r in playing)


def test_pause_holds_within_one_block_and_resume_loses_nothing():
    room = Room()
    room.say(1, samples=200)
    room.run(5)
    room.playback.pause()
    room.run(10)
    # One fade after the block that was audible, then silence.
    assert np.count_nonzero(room.heard[50:]) <= 5
    assert (np.abs(np.diff(room.heard.astype(int)[45:60])) <= 300).all()
    assert room.states(1) == [pb.STARTED, pb.PAUSED]
    assert room.last(1).played_s == pytest.approx(0.05)
    room.playback.resume()
    room.run(20)
    assert room.states(1) == [pb.STARTED, pb.PAUSED, pb.RESUMED, pb.FINISHED]
    assert room.last(1).played_s == pytest.approx(0.2)
    assert np.count_nonzero(room.heard == 1001) >= 190


def test_stop_reports_what_was_heard_at_a_word():
    room = Room()
    room.say(1)
    room.say(2)
    room.run(6)
    room.playback.stop(1)
    room.run(1)
    assert room.states(1) == [pb.STARTED, pb.STOPPED]
    assert room.last(1).heard_chars == 5
    assert room.last(1).stamp_ns == 60 * MS
    assert room.states(2) == [pb.STOPPED]
    assert room.last(2).heard_chars == 0 and room.last(2).played_s == 0.0
    room.run(5)
    assert not room.playback.wanted()
    assert np.count_nonzero(room.heard[60:]) <= 5


def test_an_old_epoch_is_dropped_unheard_and_a_new_one_plays():
    room = Room()
    room.playback.stop(3)
    room.say(1, epoch=2)
    room.say(2, epoch=3)
    room.run(15)
    assert room.states(1) == [pb.STOPPED]
    assert room.states(2) == [pb.STARTED, pb.FINISHED]


def test_stop_ends_a_pause():
    room = Room()
    room.say(1)
    room.run(2)
    room.playback.pause()
    room.run(2)
    room.playback.stop(1)
    room.say(2, epoch=1)
    room.run(15)
    assert room.states(1) == [pb.STARTED, pb.PAUSED, pb.STOPPED]
    assert room.states(2) == [pb.STARTED, pb.FINISHED]


@pytest.mark.parametrize('command', ['pause', 'stop'])
def test_an_uninterruptible_line_is_finished(command):
    room = Room()
    room.say(1, interruptible=False)
    room.say(2)
    room.run(3)
    room.playback.pause() if command == 'pause' else room.playback.stop(1)
    room.run(20)
    assert room.states(1) == [pb.STARTED, pb.FINISHED]
    assert room.states(2) == ([] if command == 'pause' else [pb.STOPPED])
    assert (room.heard[:100] == 1001).all() and not room.heard[100:].any()


def test_a_slow_voice_is_an_underrun_not_an_end():
    room = Room()
    room.playback.add(1, written_chars=4)
    room.playback.append(1, np.full(15, 7, np.int16))
    room.run(4)
    assert room.playback.underruns == 1
    assert room.states(1) == [pb.STARTED]
    room.playback.append(1, np.full(5, 7, np.int16))
    room.run(2)
    room.playback.complete(1)
    assert room.playback.wanted()
    room.run(1)
    assert room.states(1) == [pb.STARTED, pb.FINISHED]
    assert room.playback.underruns == 2


def steps(heard):
    return abs(np.diff(heard.astype(int)))


def test_nothing_clicks_when_the_voice_is_late():
    room = Room()
    room.playback.add(1, written_chars=4)
    room.playback.append(1, np.full(25, 5000, np.int16))
    room.run(4)
    room.playback.append(1, np.full(25, 5000, np.int16))
    room.playback.complete(1)
    room.run(4)
    assert room.playback.underruns == 1 and (room.heard == 5000).sum() >= 38
    # The end of the segment itself is what the voice made of it.
    assert steps(room.heard[5:60]).max() <= 1250
    assert room.states(1) == [pb.STARTED, pb.FINISHED]


@pytest.mark.parametrize('command', ['pause', 'stop'])
def test_nothing_clicks_at_pause_resume_and_stop(command):
    room = Room()
    room.say(1, samples=200)
    room.run(3)
    room.playback.pause() if command == 'pause' else room.playback.stop(1)
    room.run(3)
    room.playback.resume()
    room.run(3)
    assert steps(room.heard[1:]).max() <= 1001 / 4 + 1


def test_the_volume_changes_at_once_and_without_a_click():
    room = Room()
    room.say(1, samples=100)
    room.run(2)
    room.playback.volume = 0.5
    room.run(3)
    assert (room.heard[30:50] == 500).all() and (room.heard[:20] == 1001).all()
    assert steps(room.heard[:50]).max() < 70
    room.playback.volume = 100.0
    room.run(3)
    assert room.heard.max() == 32767


def test_nothing_to_say_is_finished_at_once():
    room = Room()
    room.playback.add(1, written_chars=2)
    room.playback.complete(1)
    assert room.playback.wanted()
    room.run(1)
    assert room.states(1) == [pb.FINISHED]
    assert room.last(1).heard_chars == 2


def test_failure_after_half_is_reported_with_what_was_heard():
    room = Room()
    room.playback.add(1, written_chars=10)
    room.playback.append(1, np.full(50, 7, np.int16), [(50, 5)])
    room.playback.complete(1, error_code=100, error_msg='broken')
    room.run(6)
    assert room.states(1) == [pb.STARTED, pb.FAILED]
    assert (room.last(1).heard_chars, room.last(1).error_msg) == (5, 'broken')


def test_a_device_that_drops_its_buffer_takes_the_position_back():
    room = Room()
    room.say(1, samples=200)
    for block in range(10):
        # The device renders 50 ms ahead of what is audible.
        room.playback.render(BLOCK, (50 + block * 10) * MS)
    room.reports += room.playback.poll(100 * MS)
    room.playback.cut_back(105 * MS)
    room.playback.stop(1, fade=False)
    room.reports += room.playback.poll(105 * MS)
    assert room.states(1) == [pb.STARTED, pb.STOPPED]
    assert room.last(1).played_s == pytest.approx(0.055, abs=0.001)
    assert room.last(1).heard_chars == 0


ACTIONS = st.lists(st.one_of(
    st.tuples(st.just('say'), st.integers(0, 120), st.integers(0, 3), st.booleans()),
    st.tuples(st.just('run'), st.integers(1, 8)),
    st.tuples(st.just('pause')), st.tuples(st.just('resume')),
    st.tuples(st.just('cut')),
    st.tuples(st.just('stop'), st.integers(0, 3))), max_size=40)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_every_segment_ends_exactly_once(actions):
    room, number = Room(), 0
    for name, *values in actions:
        if name == 'say':
            number += 1
            room.say(number, values[0], values[1], values[2])
        elif name == 'run':
            room.run(values[0])
        elif name == 'cut':
            room.playback.cut_back(room.now_ns)
        elif name == 'stop':
            room.playback.stop(values[0])
        else:
            getattr(room.playback, name)()
    room.playback.resume()
    room.run(15 * (number + 2))
    assert not room.playback.wanted()
    ends = (pb.FINISHED, pb.STOPPED, pb.FAILED)
    for segment in range(1, number + 1):
        states = room.states(segment)
        assert [s for s in states if s in ends] == states[-1:], states
        played = [r.played_s for r in room.reports if r.segment_id == segment]
        assert played == sorted(played)
        if room.last(segment).state == pb.STOPPED:
            assert room.last(segment).heard_chars in (0, 5, 10)
