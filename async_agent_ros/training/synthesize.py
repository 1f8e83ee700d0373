"""
Synthetic conversations: written by seed, byte for byte the same on every machine.

`train`, `valid` and `test` share no template and no tool name (the agent's own tools apart, and the
robot's own ones where a catalogue is given: those are to be learned).
"""
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
import hashlib
import json
import pathlib
import random
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros import __version__
from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.training import shapes
from async_agent_ros.training.actors import tokens
from async_agent_ros.training.catalogues import invented, SimTool
from async_agent_ros.training.own_tools import elsewhere, own_tools
from async_agent_ros.training.paths import load_format
from async_agent_ros.training.samples import Sample, samples_of
from async_agent_ros.training.simulation import Simulation
from async_agent_ros.training.speaker import Speaker
from async_agent_ros.training.tables import Language, language, SPLITS, TableError

SHARES = {'train': 1.0, 'valid': 0.03, 'test': 0.03}
"""Conversations of each split, as a part of the number that is asked for."""
OPTIONAL_OWN = ('wait', 'now', 'fork', 'spawn')


@dataclass(frozen=True)
class Recipe:
    """All that the data depend on, apart from the version of this package."""

    conversations: int = 4000
    seed: int = 1
    stream: float = 0.5
    """Part of the conversations with partial speech."""
    own: float = 0.4
    """Part of the conversations over the robot's own tools, where there are any."""
    elsewhere: float = 0.4
    """Part of these with other rooms, things and people than those that the schemas list."""
    text: float = 0.15
    """Part of the conversations that are typed."""
    only: Tuple[str, ...] = ()
    """Shapes to draw from; empty: all."""
    per_robot: int = 4
    """Conversations of `train` with the same tools: they share the head of the prompt, so that a
    pack (training/packing.py) holds it once."""
    prompt: str = ''
    """Prompt file; empty: config/prompt_tuned.yaml."""


@dataclass
class Robot:
    """The robot's own tools, if any, and how people speak of them."""

    specs: Sequence[ToolSpec] = ()
    phrases: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Conversation:
    """What was played, and what it came from."""

    simulation: Simulation
    names: List[str]
    tools: List[SimTool]
    mode: str
    own: bool
    templates: List[str]
    samples: List[Sample]


def play(recipe: Recipe, split: str, index: int, robot: Robot = Robot(),
         prompt_format: Optional[PromptFormat] = None,
         reworded: Mapping[str, Sequence[str]] = {}) -> Conversation:
    """Play one conversation. The same arguments give the same one."""
    rng = random.Random(f'{recipe.seed}/{split}/{index}')
    tongue = language(split)
    if reworded and split == 'train':
        tongue = _with(tongue, reworded)
    number = index // max(1, recipe.per_robot) if split == 'train' else index
    name = f'{split}-robot-{number}'
    own, tools, form = _robot(random.Random(f'{recipe.seed}/{name}'), recipe, split, robot, tongue,
                              prompt_format or load_format(recipe.prompt or 'prompt_tuned.yaml'))
    foreign = [] if own else invented(rng, tongue, 40, odd_names=0.0, pairs=0.0)
    here = {t.concept.names for t in tools}
    foreign = [t for t in foreign if t.concept.names not in here]
    mode = 'stream' if rng.random() < recipe.stream else 'turn'
    only = tuple(n for n in recipe.only or shapes.SHAPES if n not in _needing(form))
    speaker = Speaker(rng, tongue, tools, foreign, disfluency=rng.choice((0.0, 0.2, 0.35, 0.6)))
    names, moves = [], []
    for _ in range(rng.randint(2, 4)):
        # scores shall not depend on what is trained more often
        shape, added = shapes.draw(rng, speaker, only, evenly=split == 'test')
        names.append(shape)
        moves += added
    settings = Settings(utc_offset_s=0) if mode == 'turn' else Settings(speculation='stream')
    simulation = Simulation(rng, tools, form, settings,
                            text=mode == 'turn' and rng.random() < recipe.text)
    turns = simulation.play(moves)
    about = {'id': f'{split}-{index}', 'robot': name, 'split': split, 'mode': mode,
             'shapes': names}
    templates = [i.template for t in turns for i in t.intents if i.template]
    return Conversation(simulation, names, tools, mode, own, templates,
                        samples_of(turns, about))


def _robot(rng: random.Random, recipe: Recipe, split: str, robot: Robot, tongue: Language,
           form: PromptFormat) -> Tuple[bool, List[SimTool], PromptFormat]:
    """Return whether the tools are the robot's own, the tools, and the format of the prompt."""
    own = bool(robot.specs) and rng.random() < recipe.own
    specs = robot.specs
    if own and split == 'train' and rng.random() < recipe.elsewhere:
        specs = elsewhere(rng, tongue, specs)
    tools = own_tools(specs, robot.phrases, split) if own else invented(
        rng, tongue, rng.randint(3, 8))
    if own and len(tools) > 10:
        tools = rng.sample(tools, 10)    # a large catalogue is learned in parts
    return own, list(tools), _hiding(rng, form)


def _with(tongue: Language, reworded: Mapping[str, Sequence[str]]) -> Language:
    concepts = tuple(replace(c, ask=(*c.ask, *(p for a in c.ask for p in reworded.get(a, ()))))
                     for c in tongue.concepts)
    return replace(tongue, concepts=concepts)


def _hiding(rng, form: PromptFormat) -> PromptFormat:
    """Hide some of the agent's own tools in some conversations, as prompt files do."""
    hidden = tuple(n for n in OPTIONAL_OWN if rng.random() < 0.3)
    return PromptFormat(**{**form.__dict__, 'hidden_tools': (*form.hidden_tools, *hidden)})


def _needing(form: PromptFormat) -> List[str]:
    shape_of = {'wait': 'both', 'now': 'clock', 'fork': 'fork', 'spawn': 'spawn'}
    return [shape_of[n] for n in form.hidden_tools if n in shape_of]


def write(folder: pathlib.Path, recipe: Recipe, robot: Robot = Robot(),
          progress: Callable[[str, int, int], None] = lambda split, done, of: None,
          reworded: Mapping[str, Sequence[str]] = {}) -> Dict[str, Any]:
    """Write train.jsonl, valid.jsonl, test.jsonl, card.json and README.md; return the card."""
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(f'the data cannot be written to {folder}: {error.strerror}') from error
    form = load_format(recipe.prompt or 'prompt_tuned.yaml')
    card: Dict[str, Any] = {'version': __version__, 'recipe': asdict(recipe),
                            'own_tools': [s.name for s in robot.specs],
                            'reworded': sum(map(len, reworded.values())), 'splits': {}}
    seen: Dict[str, Dict[str, set]] = {}
    for split in SPLITS:
        count = max(1, round(recipe.conversations * SHARES[split]))
        tally, digest = _Tally(), hashlib.sha256()
        with open(folder / f'{split}.jsonl', 'w', encoding='utf-8', newline='\n') as file:
            for index in range(count):
                one = play(recipe, split, index, robot, form, reworded)
                tally.add(one)
                for sample in one.samples:
                    line = sample.to_json() + '\n'
                    digest.update(line.encode())
                    file.write(line)
                progress(split, index + 1, count)
        card['splits'][split] = {**tally.counts(), 'sha256': digest.hexdigest()}
        seen[split] = {'templates': tally.templates, 'tools': tally.tools}
    card['shared'] = {
        f'{a} and {b}': {what: sorted(seen[a][what] & seen[b][what]) for what in
                         ('templates', 'tools')}
        for a, b in (('train', 'valid'), ('train', 'test'), ('valid', 'test'))}
    (folder / 'card.json').write_text(json.dumps(card, indent=1, ensure_ascii=False) + '\n',
                                      encoding='utf-8')
    (folder / 'README.md').write_text(_readme(card), encoding='utf-8')
    return card


class _Tally:
    """Counts for the data card."""

    def __init__(self):
        self.conversations = 0
        self.samples = 0
        self.own_chars = 0
        self.chars = 0
        self.tokens = 0
        self.own_tokens = 0
        self.generations = 0
        self.calls = 0
        self.shapes: Counter = Counter()
        self.modes: Counter = Counter()
        self.templates: set = set()
        self.tools: set = set()

    def add(self, one: Conversation) -> None:
        """Count a conversation."""
        self.conversations += 1
        self.shapes.update(one.names)
        self.modes[one.mode] += 1
        if not one.own:
            # the robot's own tools have templates of their own for each split where there is a
            # file of phrases, and else their examples: those are to be learned
            self.templates.update(one.templates)
            self.tools.update(t.spec.name for t in one.tools)
        for sample in one.samples:
            self.samples += 1
            for text, own in sample.pieces:
                count = len(tokens(text))
                self.chars += len(text)
                self.tokens += count
                if own:
                    self.generations += 1
                    self.own_chars += len(text)
                    self.own_tokens += count
                    self.calls += text.count('CALL {')

    def counts(self) -> Dict[str, Any]:
        """Return the counts as JSON."""
        return {'conversations': self.conversations, 'samples': self.samples,
                'generations': self.generations, 'calls': self.calls, 'characters': self.chars,
                'own_characters': self.own_chars, 'tokens_about': self.tokens,
                'own_tokens_about': self.own_tokens, 'modes': dict(sorted(self.modes.items())),
                'shapes': dict(sorted(self.shapes.items())), 'templates': len(self.templates),
                'tool_names': len(self.tools)}


def _readme(card: Mapping[str, Any]) -> str:
    lines = ['# Synthetic conversations', '',
             f'Made by async_agent_ros {card["version"]} (`async-agent train synthesize`), recipe '
             f'`{json.dumps(card["recipe"])}`. No text of people is in it; licence Apache-2.0.',
             '', '| | ' + ' | '.join(card['splits']) + ' |',
             '|---|' + '---:|' * len(card['splits'])]
    first = next(iter(card['splits'].values()))
    for key, value in first.items():
        if isinstance(value, int):
            row = ' | '.join(f'{s[key]:,}' for s in card['splits'].values())
            lines.append(f'| {key.replace("_", " ")} | {row} |')
    names = sorted({n for s in card['splits'].values() for n in s['shapes']})
    for name in names:
        row = ' | '.join(str(s['shapes'].get(name, 0)) for s in card['splits'].values())
        lines.append(f'| shape {name} | {row} |')
    for pair, shared in card['shared'].items():
        lines.append('')
        lines.append(f'{pair} share {len(shared["templates"])} templates and '
                     f'{len(shared["tools"])} tool names.')
    return '\n'.join(lines) + '\n'
