"""A small world around a kernel, on virtual time: it keeps events, effects and the rules."""
from async_agent_ros.core import effects, events
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Ledger
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect

PLACE = {'type': 'object', 'properties': {'place': {'type': 'string'}}, 'required': ['place'],
         'additionalProperties': False}
TOOLS = {t.name: t for t in (
    ToolSpec('navigate_to', 'Drive', PLACE, motion=True),
    ToolSpec('get_battery', 'Read the battery', effect=Effect.READ_ONLY),
    ToolSpec('open_door', 'Open a door', PLACE, effect=Effect.CONFIRM),
    ToolSpec('look', 'Look', PLACE, effect=Effect.READ_ONLY, cancel_on_barge_in=True))}
SERVER = '/agent/sim_robot'
MS = 1_000_000


class World:
    """Steps events and remembers what came of them."""

    def __init__(self, settings: Settings = Settings(result_group_s=0.0),
                 tools=tuple(TOOLS.values())):
        self.kernel = Kernel()
        self.now_ns = 1_000_000_000
        self.events = []
        self.effects = []
        self.settings = settings
        self.step(events.Started, session='s', settings=settings.to_json())
        self.step(events.PeerChanged, peer='tts')
        self.step(events.ToolsAnnounced, server=SERVER, tools=tuple(t.to_json() for t in tools))

    @property
    def state(self):
        return self.kernel.state

    @property
    def ledger(self):
        return self.kernel.state.ledger

    def step(self, kind, after_ms=10, **fields):
        """Step one event and return its effects."""
        self.now_ns += after_ms * MS
        event = kind(self.now_ns, **fields)
        # Through JSON, as a recorded event comes back.
        event = events.from_json(kind.__name__, event.to_json())
        out = self.kernel.step(event)
        self.events.append(event)
        self.effects.append(out)
        return out

    def restart(self):
        """Kill the manager and start it again on what its ledger holds."""
        self.kernel = Kernel(Ledger(list(self.ledger)))
        out = self.step(events.Started, session='s', settings=self.settings.to_json())
        return out + self.step(events.PeerChanged, peer='tts')

    # -- the voice --------------------------------------------------------------------------------
    def hear(self, text, stable=None, utterance_id='u1'):
        """Let the person go on speaking; the first `stable` characters no longer change."""
        if utterance_id not in self.state.speaking:
            self.step(events.SpeechStarted, utterance_id=utterance_id)
        return self.step(events.TranscriptUpdated, after_ms=500, utterance_id=utterance_id,
                         text=text, stable_chars=len(text) if stable is None else stable)

    def fall_silent(self, text, utterance_id='u1'):
        """Declare the end of the utterance and give its final transcript."""
        out = self.step(events.SpeechStopped, utterance_id=utterance_id)
        return out + self.step(events.TranscriptUpdated, utterance_id=utterance_id, text=text,
                               stable_chars=len(text), final=True)

    def draft(self, kind, number=-1, **fields):
        """Step an event of the draft's latest generation."""
        return self.step(kind, generation_id=self.state.draft.answers[number],
                         epoch=self.state.epoch, **fields)

    # -- shorthand --------------------------------------------------------------------------------
    def say(self, text):
        return self.step(events.UserText, text=text)

    def generation(self, kind, **fields):
        """Step an event of the running generation."""
        return self.step(kind, generation_id=self.state.active or 0, epoch=self.state.epoch,
                         **fields)

    def text(self, text):
        return self.generation(events.TextGenerated, text=text)

    def call(self, tool, call_id='', **arguments):
        return self.generation(events.CallGenerated, name=tool, call_id=call_id,
                               arguments=arguments)

    def finish(self, **fields):
        return self.generation(events.GenerationEnded, **fields)

    def answer(self, text):
        """Generate a whole answer."""
        self.text(text)
        return self.finish()

    def play_all(self):
        """Let the sink play everything to the end."""
        out = []
        while self.state.segments:
            out += self.step(events.SpeechProgressed, segment_id=min(self.state.segments),
                             state='finished')
        return out

    def stop_sink(self, heard_chars=0):
        """Let the sink report its stop for every open segment; the first was partly heard."""
        for segment_id in sorted(self.state.segments):
            self.step(events.SpeechProgressed, segment_id=segment_id, state='stopped',
                      heard_chars=heard_chars)
            heard_chars = 0

    def kinds(self, from_seq=2):
        """Return the kinds of the entries after the opening ones."""
        return [str(e.kind) for e in self.ledger[from_seq:]]


def of(out, kind):
    """Return the effects of one type."""
    return [e for e in out if isinstance(e, kind)]


def generates(out):
    """Return the Generate effects."""
    return of(out, effects.Generate)
