"""The robot's own voice in the microphone: muted, and people who speak over it are not."""
import importlib.util

from async_agent_ros.speech.audio import AudioError, Block, NS_PER_S, RATE, resample
from async_agent_ros.speech.echo import EchoPath, make_canceller, TAIL_S, WebRtcCanceller
from async_agent_ros.speech.echo_search import FRAME
from async_agent_ros.speech.onset import EagerOnset, HELD_S
from async_agent_ros.speech.person import Person
from async_agent_ros.speech.reference import Reference
from async_agent_ros.speech.vad import Confirmed, Onset, SileroVad, SpeechDetector, VadSettings
import numpy as np
import pytest

KINDS = ['gate', pytest.param('aec', marks=pytest.mark.skipif(
    importlib.util.find_spec('livekit') is None, reason='needs the extra `echo`'))]
ROBOT_RATE = 22_050
OVER_S = 5.0
"""When the person begins to speak over the robot."""


@pytest.fixture(scope='module')
def voices():
    pytest.importorskip('hibari')
    robot = Person(rate=0.9).say('I am on my way to the kitchen and I look for the red cup there. '
                                 'Then I bring it to you, as fast as I can, because the floor is '
                                 'free and the battery is full. I will tell you.')
    return robot[:8 * RATE], Person(rate=1.1).say('Wait a moment please.')


@pytest.fixture(scope='module')
def vad():
    pytest.importorskip('faster_whisper')
    vad = SileroVad()
    vad.load()
    return vad


def room(rng):
    """Return the answer of a room that rings a little."""
    answer = rng.normal(0, 0.1, RATE // 10) * np.exp(-np.arange(RATE // 10) / 400.0)
    answer[0] = 1.0
    return answer / np.sqrt((answer ** 2).sum())


def hear(vad, kind, robot, person, *, delay_ms, level_db, noise=15.0, at_s=OVER_S):
    """Play the robot into the microphone; return what voice activity finds, in seconds."""
    rng = np.random.default_rng(2)
    echo = np.convolve(robot * 10.0 ** (level_db / 20.0), room(rng))[:len(robot)]
    mic = np.concatenate([np.zeros(delay_ms * RATE // 1000), echo])[:len(robot)]
    mic += rng.normal(0.0, noise, len(mic))
    if person is not None:
        at = int(at_s * RATE)
        mic[at:at + len(person)] += person
    mic = np.clip(mic, -32767, 32767).astype(np.int16)
    reference = Reference()
    played = resample(robot, RATE, ROBOT_RATE)
    path = EchoPath(make_canceller(kind), reference, EagerOnset())
    vad.reset()
    detector = SpeechDetector(VadSettings(), vad)
    found, base_ns = [], 50 * NS_PER_S
    for number, at in enumerate(range(0, len(mic) - 160, 160)):
        stamp_ns = base_ns + number * NS_PER_S // 100
        # As tts does it: a block is published when it becomes audible.
        first, end = at * ROBOT_RATE // RATE, (at + 160) * ROBOT_RATE // RATE
        reference.add(played[first:end], rate=ROBOT_RATE, first_sample=first, stamp_ns=stamp_ns)
        block = path.process(Block(mic[at:at + 160], at, stamp_ns))
        if block is not None:
            changes = detector.feed(block)
            if path.somebody:
                changes += detector.suspect(HELD_S)
            found += [(type(c), c.onset / RATE, c.known / RATE) for c in changes
                      if not isinstance(c, Confirmed)]
    path.close()
    return found


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('delay_ms, level_db', [(20, -6), (60, -30), (120, -15), (300, -6)])
def test_the_robot_does_not_hear_itself(vad, voices, kind, delay_ms, level_db):
    found = hear(vad, kind, voices[0], None, delay_ms=delay_ms, level_db=level_db)
    assert not [c for c in found if c[0] is Onset]


def test_without_it_the_robot_would(vad, voices):
    reference = Reference()    # nothing is told of what is played
    robot = voices[0][:3 * RATE]
    path = EchoPath(make_canceller('gate'), reference)
    vad.reset()
    detector = SpeechDetector(VadSettings(), vad)
    changes = detector.feed(path.process(Block((robot * 0.2).astype(np.int16), 0, NS_PER_S)))
    assert any(isinstance(c, Onset) for c in changes)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('delay_ms, level_db', [(20, -30), (120, -20), (300, -15)])
def test_a_person_over_the_robot_is_heard(vad, voices, kind, delay_ms, level_db):
    robot, person = voices
    begin = OVER_S + np.flatnonzero(abs(person) > 300)[0] / RATE
    onsets = [c for c in hear(vad, kind, robot, person, delay_ms=delay_ms, level_db=level_db)
              if c[0] is Onset]
    assert onsets and begin - 0.1 < onsets[0][1] < begin + 0.5
    assert onsets[0][2] < begin + 0.1, 'the first sound is known at once'


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('at_s', [7.2, 8.3])
def test_a_hiss_that_noise_all_but_hides_is_heard(vad, voices, kind, at_s):
    """It is how "stop" begins: 10 dB above the noise, while the robot itself has no hiss."""
    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft(rng.normal(0.0, 250.0, RATE // 8))
    spectrum[:len(spectrum) * 3 // 8] = 0.0
    hiss = np.fft.irfft(spectrum).astype(np.int16)
    line = np.concatenate([np.zeros(3 * RATE, np.int16), voices[0]])
    found = hear(vad, kind, line, hiss, delay_ms=80, level_db=-20, noise=80.0, at_s=at_s)
    known, = [c[2] for c in found if c[0] is Onset]
    assert at_s < known < at_s + 0.06


@pytest.mark.parametrize('kind', KINDS)
def test_with_a_headset_a_person_is_heard_too(vad, voices, kind):
    robot, person = voices
    onsets = [c for c in hear(vad, kind, robot, person, delay_ms=0, level_db=-200)
              if c[0] is Onset]
    assert onsets and OVER_S - 0.1 < onsets[0][1] < OVER_S + 0.8


@pytest.mark.parametrize('kind', KINDS)
def test_a_background_that_grows_while_the_robot_is_silent_is_nobody(vad, voices, kind):
    robot, _ = voices
    line = np.concatenate([robot, np.zeros(3 * RATE, np.int16), robot])
    noise = np.where(np.arange(len(line)) < len(robot) + RATE, 15.0, 100.0)
    found = hear(vad, kind, line, None, delay_ms=80, level_db=-20, noise=noise)
    assert not [c for c in found if c[0] is Onset and c[1] * RATE > len(robot) + RATE]


def noisy(*stretches, seed=0):
    """Return stretches of (seconds, level of the noise), one after the other."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, level, int(s * RATE)) for s, level in stretches]).astype(
        np.int16)


def begins(eager, samples):
    """Return when it says that somebody makes a sound, seconds."""
    return [(at + FRAME) / RATE for at in range(0, len(samples) - FRAME + 1, FRAME)
            if eager.take(samples[at:at + FRAME], None)]


def test_a_sound_over_the_background_is_known_within_hundredths_and_a_click_is_none():
    times = begins(EagerOnset(), noisy((1, 20), (0.3, 400), (1, 20), (0.01, 4000), (1, 20)))
    assert len(times) == 1 and 1.0 < times[0] <= 1.04
    # A background that becomes louder is one sound, and then the background.
    assert len(begins(EagerOnset(), noisy((1, 20), (6, 200)))) == 1
    assert not begins(EagerOnset(), noisy((3, 0))), 'a microphone that is mute'


def test_sounds_that_were_nothing_are_heard_less_and_less_often():
    eager, heard = EagerOnset(), []
    for number in range(20):
        heard += [number] * len(begins(eager, noisy((0.8, 20), (0.2, 600), seed=number)))
        if heard[-1:] == [number]:
            eager.refuted()
    assert heard[0] <= 1 and len(heard) < 8
    eager.confirmed()
    for number in range(40):
        begins(eager, noisy((1, 20), seed=number))
    assert begins(eager, noisy((0.8, 20), (0.2, 600)))


def test_while_the_robot_is_silent_every_sample_passes():
    path = EchoPath(make_canceller('gate'), Reference())
    samples = np.random.default_rng(0).integers(-3000, 3000, 4000).astype(np.int16)
    blocks = [path.process(Block(samples[at:at + 250], at, at * NS_PER_S // RATE))
              for at in range(0, 4000, 250)]
    assert (np.concatenate([b.samples for b in blocks]) == samples).all()
    assert not path.active


def test_blocks_of_any_length_keep_their_place_and_time():
    reference = Reference()
    reference.add(np.full(2 * RATE, 900, np.int16), rate=RATE, first_sample=0,
                  stamp_ns=NS_PER_S)
    path = EchoPath(make_canceller('gate'), reference)
    at, got = 700, []
    for size in (100, 320, 7, 500, 161):
        block = path.process(Block(np.zeros(size, np.int16), at,
                                   NS_PER_S + at * NS_PER_S // RATE))
        at += size
        got += [block] if block is not None else []
    assert got[0].first_sample == 700 and path.active
    for before, after in zip(got, got[1:]):
        assert after.first_sample == before.first_sample + len(before.samples)
    for block in got:
        assert block.stamp_ns == pytest.approx(
            NS_PER_S + block.first_sample * NS_PER_S // RATE, abs=1000)
        assert len(block.samples) % FRAME == 0
    jumped = path.process(Block(np.zeros(320, np.int16), 90_000, 2 * NS_PER_S))
    assert jumped.first_sample == 90_000


def test_the_microphone_waits_for_what_is_played_but_not_for_long():
    reference = Reference()
    path = EchoPath(make_canceller('off'), reference)

    def hear(number):
        return path.process(Block(np.full(160, number, np.int16), number * 160,
                                  NS_PER_S + number * 10_000_000))

    def play(number):
        reference.add(np.full(160, 900, np.int16), rate=RATE, first_sample=number * 160,
                      stamp_ns=NS_PER_S + number * 10_000_000)

    play(0)
    assert hear(0).samples.tolist() == [0] * 160
    assert hear(1) is None and hear(2) is None, 'it is on its way'
    play(1)
    play(2)
    play(3)
    assert hear(3).samples.tolist() == [1] * 160 + [2] * 160 + [3] * 160
    # The robot has fallen silent: what is heard comes late for a moment, and nothing is lost.
    rest = [b for b in map(hear, range(4, 12)) if b is not None]
    assert rest[0].first_sample == 4 * 160
    assert sum(len(b.samples) for b in rest) == 8 * 160


def test_what_was_played_and_came_too_late_or_never_is_noticed():
    reference = Reference()

    def play(number, at=None):
        reference.add(np.full(160, 900, np.int16), rate=RATE, first_sample=number * 160,
                      stamp_ns=NS_PER_S + (number if at is None else at) * 10_000_000)

    for number in range(3):
        play(number)
        reference.window(NS_PER_S + number * 10_000_000, 160)
    assert reference.missed == 0
    play(4)
    assert reference.missed == 1, 'one was lost'
    reference.window(NS_PER_S + 50_000_000, 480)
    play(5)
    assert reference.missed == 2, 'too late'
    # After a silence it may begin a moment late.
    reference.window(2 * NS_PER_S, 160)
    play(6, at=100)
    assert reference.missed == 2
    eager = EagerOnset()
    begins(eager, noisy((1, 20)))
    eager.disturbed()
    assert not begins(eager, noisy((0.3, 400)))
    assert begins(eager, noisy((0.5, 20), (0.3, 400)))


def test_the_reference_is_found_by_time():
    reference = Reference(keep_s=1.0)
    for number in range(200):
        reference.add(np.full(160, number, np.int16), rate=RATE, first_sample=number * 160,
                      stamp_ns=number * 10_000_000 + (number % 3) * 1_000_000)
    assert (reference.window(1_500_000_000, 320) == np.repeat([150, 151], 160)).all()
    assert not reference.window(100_000_000, 320).any()    # forgotten
    # A pause of the robot is silence, not the end of what came before.
    reference.add(np.full(160, 77, np.int16), rate=RATE, first_sample=200 * 160,
                  stamp_ns=2_300_000_000)
    assert reference.window(2_200_000_000, 1760)[-160:].tolist() == [77] * 160
    assert not reference.window(2_200_000_000, 1600).any()
    assert reference.audible(2_300_000_000, 0.1)
    assert not reference.audible(2_400_000_000 + int(TAIL_S * NS_PER_S), TAIL_S)
    reference.add(np.full(160, 77, np.int16), rate=RATE, first_sample=0, stamp_ns=NS_PER_S)
    assert not reference.audible(2_100_000_000, 1.0), 'the clock was set back'
    with pytest.raises(AudioError, match='4000 to 384000'):
        reference.add(np.zeros(10, np.int16), rate=0, first_sample=0, stamp_ns=0)


def test_kinds():
    assert make_canceller('off').name == 'off' and make_canceller('gate').name == 'gate'
    assert make_canceller('auto').name in ('aec', 'gate')


def test_what_is_missing_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'livekit', None)
    with pytest.raises(AudioError, match=r'async_agent_ros\[echo\]'):
        WebRtcCanceller()
    with pytest.raises(AudioError, match='livekit'):
        make_canceller('aec')
    assert make_canceller('auto').name == 'gate'
