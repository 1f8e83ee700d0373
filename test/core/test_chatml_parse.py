"""The streaming parser: total, independent of chunking, and nothing but speech is spoken."""
from hypothesis import example, given, settings, strategies as st
import pytest

from async_agent_ros.core.chatml import Begun, Call, Parser, PromptFormat, Rejected, Remove, Text
from async_agent_ros.core.sentences import SentenceCutter


def parse(text, *, chunks=None, prompt_format=PromptFormat()):
    parser = Parser(prompt_format)
    events = []
    for chunk in chunks if chunks is not None else [text]:
        events += parser.feed(chunk)
    return events + parser.finish()


def spoken(events):
    return ''.join(e.text for e in events if isinstance(e, Text))


FRAGMENTS = st.sampled_from([
    'CALL', 'CA', 'LL', ' ', '\n', '{', '}', '"', 'CALL {"name": "x", "arguments": {"a": 1}}',
    '{"name": "y", "arguments": {}}', '<|im_start|>', '<|im_end|>', '<|interrupt|>', '<pause>',
    '<tool_call>', '</tool_call>', '<think>', '</think>', '<', '<|', '|>', '```json\n', '```',
    'assistant', 'user', 'REMOVE c1', 'REMOVE', 'Sure, ', 'Dr. Who ', '3.5 ', 'Go. ', '\\', '\r',
    '\ud800', '\x00', '。', 'CALL {"name": "x", "arguments": [1]}', 'assistant:', '[', ']', ','])
OUTPUTS = st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=14).map(''.join)


@settings(max_examples=400, deadline=None)
@given(OUTPUTS, st.lists(st.integers(0, 80), max_size=6))
def test_same_events_whatever_the_chunking(text, cuts):
    whole = parse(text)
    places = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    assert parse(text, chunks=[text[a:b] for a, b in zip(places, places[1:])]) == whole
    assert parse(text, chunks=list(text)) == whole


@settings(max_examples=400, deadline=None)
@given(OUTPUTS)
@example('CALLCALL<|<pause>\n')
def test_marks_never_reach_speech(text):
    for event in parse(text):
        if isinstance(event, Text):
            assert '<|im_' not in event.text and '<pause>' not in event.text
            assert 'CALL {' not in event.text and 'CALL{' not in event.text
            event.text.encode()
        elif isinstance(event, Call):
            assert event.name and isinstance(event.arguments, dict)


@pytest.mark.parametrize('text, event', [
    ('CALL {"name": "go", "arguments": {"to": "hall"}}', Call('', 'go', {'to': 'hall'})),
    ('CALL{"id": "c3", "name": "go"}', Call('c3', 'go', {})),
    ('  CALL   {"name":"go","arguments":{}}', Call('', 'go', {})),
    ('CALL\n{"name": "go"}', Call('', 'go', {})),
    ('CALL go {"to": "hall"}', Call('', 'go', {'to': 'hall'})),
    ('```json\nCALL {"name": "go"}\n```', Call('', 'go', {})),
    ('`CALL {"name": "go"}`', Call('', 'go', {})),
    ('<tool_call>\n{"name": "go", "arguments": {}}\n</tool_call>', Call('', 'go', {})),
    ('{"name": "go", "arguments": {\n  "to": "}"\n}\n}', Call('', 'go', {'to': '}'})),
    ('CALL {"name": "go", "arguments": {"to": "hall"}', Call('', 'go', {'to': 'hall'})),
    ('REMOVE c3', Remove('c3')),
])
def test_calls_in_the_forms_that_models_write(text, event):
    assert parse(text) == [event]


@pytest.mark.parametrize('text, words', [
    ('CALL {"name": "go", "arguments": {"to": "ha', 'broken JSON'),
    ('CALL {"name": "wait", "arguments": {"seconds": 3', 'broken JSON'),
    ('CALL {"name": "wait", "arguments": {"seconds": NaN}}', 'broken JSON'),
    ('CALL {"name": "say", "arguments": {"text": "\\ud800"}}', 'broken JSON'),
    ('CALL {"arguments": {}}', 'no name'),
    ('CALL {"name": 3}', 'no name'),
    ('CALL {"name": "go", "arguments": "hall"}', 'must be a JSON object'),
    ('CALL go to the hall', 'no JSON object'),
    ('CALL', 'no JSON object'),
    ('CALL ' + '{"a":' * 3000, 'broken JSON'),
])
def test_broken_calls_are_rejected_with_what_is_wrong(text, words):
    (event,) = parse(text)
    assert isinstance(event, Rejected)
    assert words in event.reason and text[:40].strip() in event.raw


def test_call_comes_as_soon_as_its_json_is_closed():
    parser = Parser()
    text = 'CALL {"name": "go", "arguments": {"to": "hall"}}'
    assert parser.feed(text[:-1]) == []
    assert parser.feed(text[-1]) == [Call('', 'go', {'to': 'hall'})]


def test_text_before_and_after_a_call_keeps_its_order():
    events = parse('On my way. CALL {"name": "go"}\nAnything else?')
    assert events == [Text('On my way. '), Call('', 'go', {}), Text('Anything else?')]


def test_marker_split_over_chunks_is_not_spoken():
    events = parse('', chunks=['Yes.\nCA', 'LL', ' {"na', 'me": "go"}'])
    assert events == [Text('Yes. '), Call('', 'go', {})]


@pytest.mark.parametrize('text, words', [
    ('Call me later.', 'Call me later.'),
    ('I got a CALL from him.', 'I got a CALL from him.'),
    ('CALLING you now.', 'CALLING you now.'),
    ('5 < 6 is true.', '5 < 6 is true.'),
    ('REMOVE the cup.', 'REMOVE the cup.'),
])
def test_text_that_only_looks_like_a_mark_is_spoken(text, words):
    assert spoken(parse(text)).strip() == words


def test_a_pause_behind_a_call_ends_the_output():
    parser = Parser()
    found = parser.feed('CALL {"name": "look", "arguments": {}}\n<pause>')
    assert [type(f).__name__ for f in found] == ['Call'] and parser.done


def test_a_lone_pause_ends_only_a_reaction():
    for reacts in (False, True):
        parser = Parser(reacts=reacts)
        assert not parser.feed('<pause>') and parser.done == reacts


@pytest.mark.parametrize('text', [
    'Hello.<|im_end|>\n<|im_start|>user\nGo away.', 'Hello.\nuser\nGo away.',
    '<|im_start|>assistant\nHello.', 'assistant\nHello.', 'assistant: Hello.',
    'Hello.\nnotification 12.5s\n{"tool": "go", "status": "succeeded"}',
    'Hello.<|interrupt|>', '<pause>Hello.', '<think>What now?</think>Hello.', '**Hello.**'])
def test_only_the_models_own_words_are_spoken(text):
    events = parse(text)
    assert [type(e) for e in events] == [Text]
    assert spoken(events).strip() == 'Hello.'


def test_marker_is_a_setting():
    events = parse('ACT {"name": "go"}', prompt_format=PromptFormat(call_marker='ACT'))
    assert events == [Call('', 'go', {})]


@pytest.mark.parametrize('text, pieces', [
    ('I am at 3.5 percent. Dr. Who agrees.', ['I am at 3.5 percent. ', 'Dr. Who agrees.']),
    ('Sure, on it. Then I come back.', ['Sure, on it. ', 'Then I come back.']),
    ('All right then, I go. Fine.', ['All right then, ', 'I go. ', 'Fine.']),
    ('It is 1,000 m, e.g. a long way.', ['It is 1,000 m, ', 'e.g. a long way.']),
    ('"Stop!" he said.', ['"Stop!" ', 'he said.']),
    ('1. Kitchen\n2. Hall', ['1. Kitchen ', '2. Hall']),
    ('好。走。', ['好。', '走。']),
])
def test_cutting(text, pieces):
    cutter = SentenceCutter()
    assert cutter.feed(text) + cutter.flush() == pieces


def test_first_piece_does_not_wait_for_a_comma():
    pieces = SentenceCutter().feed('word ' * 30)
    assert len(pieces[0].split()) == 10


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_cutting_loses_no_word(text):
    cutter = SentenceCutter()
    pieces = cutter.feed(text) + cutter.flush()
    assert ''.join(''.join(pieces).split()) == ''.join(text.split())


@pytest.mark.parametrize('text, begun', [
    ('Okay.', ['']),
    ('REMOVE c1\nFine. And more. ', ['']),
    ('CALL {"id": "c1", "name": "go", "arguments": {}}\nCALL {"name": "go"', ['c1', '']),
    ('CALL {"id": "c1', []),
    ('CALL { "id" :"c 1" , ', ['c 1']),
    ('CALL {"name": "go", "id": "c1"}', ['']),
    ('CALL {"id": 7, "name": "go"}', ['7']),
    ('I go. CALL {"id": "c2", "name": "go"}', ['', 'c2']),
    ('REMOVE c1', []), ('<pause>', []), ('...\n', [])])
@pytest.mark.parametrize('size', [1, 3, 1000])
def test_beginnings_are_told_before_what_begins(text, begun, size):
    parser = Parser(tell_begun=True)
    found = []
    for at in range(0, len(text), size):
        found += parser.feed(text[at:at + size])
    assert [e.id for e in found if isinstance(e, Begun)] == begun
    kinds = [type(e) for e in found + parser.finish()]
    for kind in (Text, Call):
        if kind in kinds:
            assert Begun in kinds[:kinds.index(kind)]
    assert Begun not in map(type, Parser().feed(text))
