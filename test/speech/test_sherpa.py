"""
The recogniser of sherpa-onnx: its files, its stream.

No weights of a real model are in a package, so a tiny one is made here: it says GO for every 40 ms
of loud sound. The library loads and streams it as any other.
"""
from async_agent_ros import models
from async_agent_ros.speech.audio import RATE
from async_agent_ros.speech.endpointing import Endpointer, EndpointSettings
from async_agent_ros.speech.onnx_file import metadata, OnnxFileError
from async_agent_ros.speech.recognition import Job, RecognitionThread, Utterance
from async_agent_ros.speech.recognizer import make_recognizer, RecognizerError
from async_agent_ros.speech.sherpa import SherpaOnnx
import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
CHUNK = 4
"""Frames of 10 ms that the model takes at once."""


def save(path, nodes, inputs, outputs, constants, **facts):
    from onnx import helper, numpy_helper, TensorProto

    def values(listed):
        return [helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == 'y' else TensorProto.FLOAT, shape)
            for name, shape in listed]

    graph = helper.make_graph(
        nodes, 'tiny', values(inputs), values(outputs),
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    helper.set_model_props(model, {k: str(v) for k, v in facts.items()})
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path):
    from onnx import helper
    node, state = helper.make_node, [('h', [1, 'n', 4]), ('c', [1, 'n', 4])]
    path = tmp_path / 'tiny-lstm'
    path.mkdir()
    # Log-mel features are about -16 in silence and -3 in loud sound: above -9 it is GO.
    save(path / 'encoder.onnx',
         [node('ReduceMean', ['x'], ['mean'], axes=[1, 2], keepdims=1),
          node('MatMul', ['mean', 'w'], ['scaled']), node('Add', ['scaled', 'b'], ['out']),
          node('Identity', ['h'], ['h2']), node('Identity', ['c'], ['c2'])],
         [('x', ['n', 9, 80]), *state], [('out', ['n', 1, 3]), ('h2', [1, 'n', 4]),
                                         ('c2', [1, 'n', 4])],
         {'w': [[0.0, 1.0, 0.0]], 'b': [0.0, 9.0, -99.0]}, model_type='lstm',
         num_encoder_layers=1, T=9, decode_chunk_len=CHUNK, rnn_hidden_size=4, d_model=4)
    save(path / 'decoder.onnx',
         [node('Cast', ['y'], ['f'], to=1), node('MatMul', ['f', 'w'], ['out'])],
         [('y', ['n', 2])], [('out', ['n', 3])], {'w': np.zeros((2, 3))}, vocab_size=3,
         context_size=2)
    save(path / 'joiner.onnx', [node('Add', ['e', 'd'], ['logit'])],
         [('e', ['n', 3]), ('d', ['n', 3])], [('logit', ['n', 3])], {}, joiner_dim=3)
    (path / 'tokens.txt').write_text('<blk> 0\n▁GO 1\n▁STOP 2\n', encoding='utf-8')
    return path


@pytest.fixture
def recognizer(folder):
    pytest.importorskip('sherpa_onnx', reason='needs the extra `sherpa`')
    made = make_recognizer(str(folder), models.find, threads=1)
    assert isinstance(made, SherpaOnnx)
    made.load()
    yield made
    made.close()


def sound(loud_s, quiet_s=0.0):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 6000, int(loud_s * RATE)),
                           rng.normal(0, 0.3, int(quiet_s * RATE))]).astype(np.int16)


def test_the_library_loads_and_hears_a_model_from_a_folder(recognizer):
    assert recognizer.describe() == 'sherpa-onnx tiny-lstm, transducer on cpu'
    words = recognizer.transcribe(sound(1.0, 0.2)).text.split()
    assert set(words) == {'go'} and 20 <= len(words) <= 27
    assert recognizer.transcribe(sound(0.0, 1.0)).text == ''


def test_words_come_while_they_are_spoken_and_each_sample_is_heard_once(recognizer):
    heard, hearing = sound(1.0), recognizer.transcriber()
    texts = [hearing.revise(heard[:at]) for at in range(1600, RATE + 1, 1600)]
    counts = [len(t.text.split()) for t in texts]
    assert counts == sorted(counts) and 0 < counts[3] < counts[-1]
    assert all(b.text.startswith(a.text[:a.stable_chars]) for a, b in zip(texts, texts[1:]))
    assert 0 < texts[-1].stable_chars < len(texts[-1].text)
    pause = hearing.pause(heard)
    assert pause.stable_chars == len(pause.text) and hearing.covered == len(heard)
    assert hearing.finish().text == pause.text and hearing.finish().elapsed_s == 0.0
    # It was not the end.
    more = hearing.finish(np.concatenate([heard, sound(0.5)]))
    assert more.text.startswith(pause.text) and len(more.text) > len(pause.text)


def test_utterances_are_recognised_by_the_thread_that_serves_every_recogniser(recognizer):
    said, errors = [], []
    thread = RecognitionThread(recognizer, lambda job, revision: said.append((job, revision)),
                               lambda error: errors.append(error) if error else None)
    thread.start()
    utterance = Utterance('a', 0, 0, Endpointer(EndpointSettings()))
    samples = sound(1.0, 0.2)
    thread.ask(Job(utterance, samples, len(samples), pause=True, speech_end=RATE))
    thread.finish(Job(utterance, samples, len(samples), speech_end=RATE))
    thread.stop()
    assert said[-1][0].final and said[-1][1].text.startswith('go go') and not errors


def broken(path, name, data):
    (path / name).write_bytes(data)


@pytest.mark.parametrize('harm, named', [
    (lambda p: (p / 'joiner.onnx').unlink(), 'encoder.onnx.* lacks lfr_window_size'),
    (lambda p: (p / 'decoder.onnx').unlink(), r'holds no decoder\*\.onnx'),
    (lambda p: (p / 'tokens.txt').unlink(), r"tokens\.txt' is missing"),
    (lambda p: broken(p, 'tokens.txt', b'\xff\xfe nothing'), 'is no list of tokens'),
    (lambda p: broken(p, 'joiner.onnx', b'<html>not found</html>'), 'is no ONNX model'),
    (lambda p: broken(p, 'encoder.onnx', (p / 'encoder.onnx').read_bytes()[:-40]),
     'is no ONNX model.*cut short'),
    (lambda p: broken(p, 'encoder.onnx', (p / 'decoder.onnx').read_bytes()), 'lacks model_type')])
def test_a_folder_that_is_not_right_is_answered_by_name_and_remedy(folder, harm, named):
    harm(folder)
    with pytest.raises(RecognizerError, match=f'(?s){named}.*') as error:
        make_recognizer(f'sherpa:{folder}', models.find).load()
    assert 'pretrained_models' in str(error.value)


def test_a_folder_that_is_missing_is_named():
    with pytest.raises(RecognizerError, match="'/nowhere/model' does not exist"):
        make_recognizer('sherpa:/nowhere/model', models.find).load()


def test_without_the_package_the_remedy_is_said(folder, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'sherpa_onnx', None)
    with pytest.raises(RecognizerError, match=r'async_agent_ros\[sherpa\]'):
        SherpaOnnx(folder).load()


def test_what_a_model_says_about_itself_is_read_without_loading_it(folder):
    facts = metadata(folder / 'encoder.onnx')
    assert facts['model_type'] == 'lstm' and facts['T'] == '9'
    (folder / 'empty.onnx').write_bytes(b'')
    with pytest.raises(OnnxFileError, match='no graph'):
        metadata(folder / 'empty.onnx')
