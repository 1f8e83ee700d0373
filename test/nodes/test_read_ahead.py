"""While nobody waits, the dispatcher reads what the next prompt begins with."""
import json
import threading
from types import SimpleNamespace

from async_agent_ros.action import Generate
from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Kind
from async_agent_ros.nodes.generation import EngineSlot, Generation, InstanceWorker
import pytest

WAIT_S = 20.0
TOOLS = [ToolSpec('go', 'Drive somewhere.', {'type': 'object', 'properties': {}})]


class Engine:
    """Notes what it is given to read; `gate` holds it while it reads ahead."""

    def __init__(self):
        self.read, self.changed = [], threading.Condition()
        self.requests = []
        self.gate = threading.Event()
        self.gate.set()
        self.aborted = False

    def warm(self, instance, prompt, abort=None, keep=False):
        self._note((prompt, 'kept' if keep else 'ahead'))
        while not self.gate.wait(0.01):
            if abort.is_set():
                self.aborted = True
                break
        return 0.0

    def stream(self, request, abort):
        self._note((request.prompt, 'asked'))
        self.requests.append(request)
        yield 'Yes.'

    def load(self):
        pass

    def _note(self, what):
        with self.changed:
            self.read.append(what)
            self.changed.notify_all()

    def until(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.read) >= count, WAIT_S), self.read
            return self.read[count - 1]


class Ledger:
    """What the mirror of the dispatcher is to the worker."""

    session = 's1'

    def __init__(self):
        self.all = []

    @property
    def next_seq(self):
        return len(self.all)

    def entries(self, from_seq, until_seq):
        return self.all[from_seq:until_seq]

    def wait_for(self, session, until_seq, timeout_s, abort):
        return True

    def add(self, *entries):
        """Add (kind, content, fields) at once, as a step of the kernel does."""
        self.all = self.all + [
            Entry(len(self.all) + i, (len(self.all) + i) * 10**9, kind,
                  content if isinstance(content, str) else json.dumps(content), **fields)
            for i, (kind, content, fields) in enumerate(entries)]


@pytest.fixture
def rig():
    engine, ledger, slot = Engine(), Ledger(), EngineSlot()
    slot.load(lambda: engine)
    ended = threading.Semaphore(0)
    worker = InstanceWorker(
        'main', slot, ledger, PromptFormat(), epoch=lambda: 0, now_ns=lambda: 99 * 10**9,
        max_tokens=lambda: 20, ledger_timeout_s=1.0, finished=lambda g: ended.release(),
        log=SimpleNamespace(info=lambda t: None, warning=print, error=print))

    def ask(speculative=False):
        goal = Generate.Goal(session='s1', generation_id=1, context_seq=ledger.next_seq,
                             speculative=speculative)
        worker.start(Generation(SimpleNamespace(request=goal, publish_feedback=lambda m: None),
                                lambda: None))
        assert ended.acquire(timeout=WAIT_S)
    ledger.add((Kind.SYSTEM, {'added': [t.to_json() for t in TOOLS], 'removed': []},
                {'name': 'tools'}))
    yield SimpleNamespace(engine=engine, ledger=ledger, worker=worker, ask=ask)
    engine.gate.set()
    worker.stop()


def test_the_head_is_read_and_kept_then_the_conversation_without_keeping(rig):
    head, how = rig.engine.until(1)
    assert how == 'kept' and 'Drive somewhere.' in head
    rig.ledger.add((Kind.USER, 'Go!', {'name': 'speech'}))
    rig.ask()
    asked = [text for text, how in rig.engine.read if how == 'asked'][0]
    assert asked.startswith(head)
    before = len(rig.engine.read)
    rig.ledger.add(
        (Kind.CALL, {'arguments': {}}, {'call_id': 'c1', 'name': 'go', 'generation_id': 1}),
        (Kind.END, {'context_seq': 2}, {'generation_id': 1, 'status': 'succeeded'}),
        (Kind.COMMIT, {}, {'call_id': 'c1', 'name': 'go'}),
        (Kind.NOTIFICATION, {'text': 'accepted'}, {'call_id': 'c1', 'name': 'accepted'}),
        (Kind.ASSISTANT, 'Okay, go.', {'generation_id': 2}),
        (Kind.END, {'context_seq': 6}, {'generation_id': 2, 'status': 'succeeded'}))
    ahead, how = rig.engine.until(before + 1)
    assert how == 'ahead' and ahead.endswith('Okay, go.<|im_end|>\n')
    rig.ledger.add((Kind.NOTIFICATION, {'progress': 0.4, 'text': '3 m left'},
                    {'call_id': 'c1', 'name': 'progress'}),
                   (Kind.USER, 'How far is it?', {'name': 'speech'}))
    rig.ask()
    asked = [text for text, how in rig.engine.read if how == 'asked'][1]
    assert asked.startswith(ahead) and '3 m left' in asked[len(ahead):]
    assert [how for _, how in rig.engine.read].count('ahead') == 1


def test_a_generation_does_not_wait_for_what_is_read_ahead(rig):
    rig.engine.until(1)
    rig.ledger.add((Kind.USER, 'Hello!', {'name': 'speech'}))
    rig.ask()
    before = len(rig.engine.read)
    rig.engine.gate.clear()
    rig.ledger.add(
        (Kind.ASSISTANT, 'Hi.', {'generation_id': 1}),
        (Kind.END, {'context_seq': 2}, {'generation_id': 1, 'status': 'succeeded'}))
    rig.engine.until(before + 1)
    rig.ledger.add((Kind.USER, 'Bye!', {'name': 'speech'}))
    rig.ask()
    assert rig.engine.aborted


def test_the_engine_knows_what_it_writes_to_and_the_number_of_its_call(rig):
    rig.ledger.add((Kind.USER, 'go', {'name': 'partial'}))
    rig.ask(speculative=True)
    rig.ledger.add(
        (Kind.CALL, {'arguments': {}}, {'call_id': 'c1', 'name': 'go', 'generation_id': 1}),
        (Kind.END, {'context_seq': 2, 'partial': True}, {'generation_id': 1}),
        (Kind.USER, 'go please', {'name': 'speech', 'about_seq': 1}))
    rig.ask()
    assert [(r.reacts, r.next_call) for r in rig.engine.requests] == [(True, 1), (False, 0)]
