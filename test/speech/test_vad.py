"""Utterances from probabilities: onset, true end, lulls, splits."""
from async_agent_ros.speech.audio import Block, RATE
from async_agent_ros.speech.vad import Confirmed, FRAME, Lull, Offset, Onset, SampleClock, Segmenter
from async_agent_ros.speech.vad import SpeechDetector, VadSettings
from hypothesis import given, settings, strategies as st
import numpy as np

FRAME_S = FRAME / RATE


def changes_of(segmenter, *runs):
    return [change for probability, frames in runs for _ in range(frames)
            for change in segmenter.step(probability)]


def test_the_true_end_is_without_the_silence_window():
    segmenter = Segmenter(VadSettings(end_silence_s=0.6))
    onset, lull, offset = changes_of(segmenter, (0.0, 10), (0.9, 20), (0.0, 25))
    assert isinstance(onset, Onset) and onset.onset == 10 * FRAME
    assert onset.known == 11 * FRAME  # one sure frame
    assert isinstance(lull, Lull) and lull.end == 30 * FRAME and lull.known == 33 * FRAME
    assert isinstance(offset, Offset) and offset.end == 30 * FRAME
    assert 0.6 <= (offset.known - offset.end) / RATE < 0.6 + FRAME_S


def test_a_suspicion_becomes_speech_when_a_voice_follows():
    segmenter = Segmenter(VadSettings(end_silence_s=0.6))
    changes_of(segmenter, (0.0, 10))
    onset, = segmenter.suspect(9 * FRAME, 10 * FRAME)
    assert onset.suspected and segmenter.suspected and segmenter.speaking
    assert not segmenter.suspect(10 * FRAME, 11 * FRAME), 'one is enough'
    confirmed, lull, offset = changes_of(segmenter, (0.1, 3), (0.9, 10), (0.0, 25))
    assert isinstance(confirmed, Confirmed) and confirmed.known == 14 * FRAME
    assert offset.onset == onset.onset == 9 * FRAME and offset.end == 23 * FRAME
    assert not offset.nothing and not segmenter.suspected


def test_a_suspicion_without_a_voice_is_over_soon():
    segmenter = Segmenter(VadSettings(confirm_s=0.32))
    changes_of(segmenter, (0.0, 10))
    segmenter.suspect(9 * FRAME, 10 * FRAME)
    offset, = changes_of(segmenter, (0.2, 20))
    assert offset.nothing and offset.known == 20 * FRAME and offset.onset <= offset.end


def test_a_click_starts_nothing():
    assert not changes_of(Segmenter(VadSettings()), (0.0, 5), (0.45, 1), (0.0, 40))


def test_a_frame_that_is_not_sure_needs_more_of_them():
    onset, = changes_of(Segmenter(VadSettings()), (0.45, 4))
    assert onset.known - onset.onset == 2 * FRAME
    slow = VadSettings(sure_threshold=1.0, min_speech_s=0.16)
    onset, = changes_of(Segmenter(slow), (0.95, 8))
    assert onset.known - onset.onset == 5 * FRAME


def test_a_pause_shorter_than_the_window_does_not_cut():
    changes = changes_of(Segmenter(VadSettings()), (0.9, 20), (0.1, 15), (0.9, 20), (0.1, 30))
    assert [type(c) for c in changes] == [Onset, Lull, Lull, Offset]
    assert changes[-1].end == 55 * FRAME


def test_between_the_thresholds_speech_goes_on_but_does_not_begin():
    assert not changes_of(Segmenter(VadSettings()), (0.38, 60))
    changes = changes_of(Segmenter(VadSettings()), (0.9, 5), (0.4, 60))
    assert [type(c) for c in changes] == [Onset]


def test_endless_speech_is_split_and_goes_on():
    changes = changes_of(Segmenter(VadSettings(max_utterance_s=2.0)), (0.9, 140), (0.0, 30))
    kinds = [type(c) for c in changes]
    assert kinds.count(Onset) == kinds.count(Offset) == 3
    assert [c.split for c in changes if isinstance(c, Offset)] == [True, True, False]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), max_size=300))
def test_onsets_and_offsets_alternate_and_nest(probabilities):
    segmenter = Segmenter(VadSettings(max_utterance_s=3.0))
    changes = [c for p in probabilities for c in segmenter.step(p)] + segmenter.finish()
    bounds = [c for c in changes if not isinstance(c, Lull)]
    assert [type(c) for c in bounds] == [Onset, Offset] * (len(bounds) // 2)
    last_end = 0
    for onset, offset in zip(bounds[::2], bounds[1::2]):
        assert last_end <= onset.onset == offset.onset < offset.end <= offset.known
        last_end = offset.end


def test_sample_clock_follows_the_blocks():
    clock = SampleClock(keep=4)
    for block in range(40):
        clock.add(block * 320, 1_000_000_000 + block * 20_000_000)
    assert clock.time_of(39 * 320 + 160) == 1_000_000_000 + 790_000_000
    assert clock.time_of(39 * 320 + 320) == 1_800_000_000


def test_the_detector_keeps_the_audio_of_an_utterance_and_forgets_the_rest():
    detector = SpeechDetector(VadSettings(), lambda frame: float(abs(frame).max() > 0.1))
    audio = np.zeros(RATE * 30, np.int16)
    audio[RATE * 20:RATE * 22] = 10_000
    found = []
    for at in range(0, len(audio), 320):
        block = Block(audio[at:at + 320], 5_000 + at, at * 62_500)
        for change in detector.feed(block):
            if isinstance(change, Offset):
                samples = detector.audio(change.onset, change.end)
                found.append((samples, detector.time_of(change.onset),
                              detector.time_of(change.end)))
    (samples, onset_ns, end_ns), = found
    assert 2.2 < len(samples) / RATE < 2.5
    assert np.count_nonzero(samples) == 2 * RATE
    assert abs(onset_ns / 1e9 - 20.0) < 0.04 and abs(end_ns / 1e9 - 22.0) < 0.04
    assert len(detector._kept) < 3 * RATE


def test_a_jump_of_the_index_ends_the_utterance():
    detector = SpeechDetector(VadSettings(), lambda frame: 0.9)
    detector.feed(Block(np.ones(RATE, np.int16), 0, 0))
    assert detector.speaking
    changes = detector.feed(Block(np.ones(320, np.int16), 90_000, 10 ** 10))
    assert isinstance(changes[0], Offset)
