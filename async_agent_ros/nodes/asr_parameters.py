"""The parameters of asr."""
from async_agent_ros.speech import echo
from async_agent_ros.speech.endpointing import EndpointSettings
from async_agent_ros.speech.listening import ListenSettings
from async_agent_ros.speech.vad import VadSettings
from . import node_base

SOURCES = ('device', 'topic', 'wav', 'audio_common', 'live_speech')
AUDIO_TYPES = ('audio_common_msgs/AudioData', 'audio_common_msgs/AudioDataStamped')


def declare(node) -> None:
    """Declare all of them."""
    def add(name, default, description, **limits):
        node_base.declare(node, name, default, description, **limits)

    vad, endpoint, listen = VadSettings(), EndpointSettings(), ListenSettings()
    add('autostart', True, 'configure and activate at start')
    add('source', 'device', 'where speech comes from', choices=SOURCES)
    add('device', '', "source device: part of the microphone's name or its index, '' the "
        'default')
    add('wav_file', '', 'source wav: file that is heard, at the pace of real time')
    add('wav_at_start', True, 'source wav: play on activation, not only on ~/play')
    add('audio_topic', '/audio', 'source audio_common: topic of raw audio (audio_capture with '
        'format:=wave)')
    add('audio_type', AUDIO_TYPES[0], 'source audio_common: type of the topic',
        choices=AUDIO_TYPES)
    add('audio_rate', 16_000, 'source audio_common: Hz, until an AudioInfo on the topic '
        '`<audio_topic>_info` says otherwise', minimum=4_000, maximum=384_000)
    add('audio_channels', 1, 'source audio_common: channels, likewise', minimum=1, maximum=32)
    add('live_speech_in', '/humans/voices/anonymous_speaker/speech', 'source live_speech: topic '
        'of another recogniser (hri_msgs/LiveSpeech) that is heard in place of audio')
    add('live_speech_out', '', 'topic on which transcripts are published as hri_msgs/LiveSpeech '
        "too, '' for none")
    add('model', 'whisper-tiny.en',
        "recogniser: a model's name or a folder (CTranslate2 Whisper, or a streaming "
        'model of sherpa-onnx)')
    add('language', 'en', 'language that is spoken, BCP 47')
    add('compute_device', 'auto', 'where the recogniser runs',
        choices=('auto', 'cpu', 'cuda'))
    add('threads', 1, 'threads of the recogniser; a second one helps little', minimum=1,
        maximum=64)
    add('partials', True, 'recognise while the person speaks, and publish what is '
        'understood so far')
    add('partial_period_s', listen.partial_period_s,
        'least time between two such rounds', minimum=0.1, maximum=5.0)
    add('onset_threshold', vad.onset_threshold,
        'probability from which on a frame is speech', minimum=0.05, maximum=0.99)
    add('sure_threshold', vad.sure_threshold,
        'probability from which on one frame starts an utterance', minimum=0.05,
        maximum=1.0)
    add('offset_threshold', vad.offset_threshold,
        'probability below which a frame is silence', minimum=0.01, maximum=0.95)
    add('min_speech_s', vad.min_speech_s, 'shorter sounds start no utterance, unless a '
        'frame is sure', minimum=0.032, maximum=2.0)
    add('endpoint_min_s', endpoint.min_s, 'silence that ends an utterance after a '
        'finished sentence, or when nothing is understood', minimum=0.1, maximum=5.0)
    add('end_silence_s', endpoint.usual_s, 'silence that ends an utterance when its words '
        'do not tell', minimum=0.1, maximum=5.0)
    add('endpoint_max_s', endpoint.max_s, 'silence that ends an utterance after words '
        'that ask for more', minimum=0.1, maximum=10.0)
    add('early_recognition', True, 'recognise in the silence before the end is declared')
    add('pre_roll_s', vad.pre_roll_s, 'audio before the onset that is recognised too',
        minimum=0.0, maximum=2.0)
    add('max_utterance_s', vad.max_utterance_s, 'longer speech is split',
        minimum=2.0, maximum=300.0)
    add('echo', 'auto', "the robot's own voice in the microphone: aec cancels, gate "
        'mutes, auto is the best installed; a WAV file holds none', choices=echo.KINDS)
    add('eager', True, 'while the robot speaks, the first sound that is not its own holds '
        'it; false: a voice must be recognised first, which takes 0.1 to 0.2 s longer')
    add('confirm_s', vad.confirm_s, 'a sound that holds the robot must turn out to be a '
        'voice in this time, else it goes on', minimum=0.1, maximum=2.0)


def listen_settings(node) -> ListenSettings:
    """Return what they say about voice activity, ends of turns and revisions."""
    def value(name):
        return node.get_parameter(name).value

    never_s = value('endpoint_max_s') + value('end_silence_s') + 1.0
    return ListenSettings(
        vad=VadSettings(
            onset_threshold=value('onset_threshold'), sure_threshold=value('sure_threshold'),
            offset_threshold=min(value('offset_threshold'), value('onset_threshold')),
            min_speech_s=value('min_speech_s'), end_silence_s=value('end_silence_s'),
            early_silence_s=(min(VadSettings().early_silence_s, value('endpoint_min_s') / 2)
                             if value('early_recognition') else never_s),
            pre_roll_s=value('pre_roll_s'), max_utterance_s=value('max_utterance_s'),
            confirm_s=value('confirm_s')),
        endpoint=EndpointSettings(
            min_s=value('endpoint_min_s'), usual_s=value('end_silence_s'),
            max_s=value('endpoint_max_s')),
        partials=value('partials'), partial_period_s=value('partial_period_s'))
