"""
A table of situations and outputs in place of a language model, for tests and demos.

It never looks like a model: info() says 'scripted', and what no rule matches is answered by a line
that says so.
"""
import json
import pathlib
import re
import string
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import yaml

from async_agent_ros.llm.engine import EngineError, EngineInfo, GenerationRequest

FALLBACK = 'I only follow a script, and it has no line for this.'
_MESSAGE = re.compile(r'<\|im_start\|>(\w+)[^\n]*\n(.*?)(?:<\|im_end\|>|\Z)', re.DOTALL)
_TOKEN = re.compile(r'\s*\w{1,5}|\s*[^\w\s]|\s+')


@dataclass(frozen=True)
class Situation:
    """What the prompt asks for: everything since the agent's last message."""

    prompt: str
    user: str = ''
    """The person's last words since the agent last spoke, '' if none."""
    notifications: Tuple[str, ...] = ()
    """Notifications since then, oldest first, as they stand in the prompt."""
    running: str = ''
    """The block of running calls, '' if none runs."""

    @classmethod
    def of(cls, prompt: str) -> 'Situation':
        """Read it off the tail of a ChatML prompt."""
        messages = [(m.group(1), m.group(2).strip()) for m in _MESSAGE.finditer(prompt)]
        if messages and messages[-1] == ('assistant', ''):
            messages.pop()
        last = max((i for i, (role, _) in enumerate(messages) if role == 'assistant'), default=-1)
        since = messages[last + 1:]
        notes = [text for role, text in since if role == 'notification']
        users = [text for role, text in since if role == 'user']
        running = notes.pop() if notes and not _is_json(notes[-1]) else ''
        return cls(prompt, users[-1] if users else '', tuple(notes), running)


@dataclass(frozen=True)
class Rule:
    """
    An output and when it is given. All conditions that are set must hold.

    Conditions are regular expressions (case ignored, searched); their named groups fill `$name`
    in the output. `when` is a predicate on the situation, for tables written in Python.
    """

    say: Union[str, Callable[[Situation], str]]
    user: str = ''
    notification: str = ''
    running: str = ''
    prompt: str = ''
    when: Optional[Callable[[Situation], bool]] = None

    def output(self, situation: Situation, notification: str = '') -> Optional[str]:
        """Return the output for the person's words or for one notification; None: no match."""
        groups = {}
        texts = {'user': situation.user, 'notification': notification,
                 'running': situation.running, 'prompt': situation.prompt}
        for name, text in texts.items():
            pattern = getattr(self, name)
            if pattern:
                match = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
                if match is None:
                    return None
                groups.update({k: v or '' for k, v in match.groupdict().items()})
        if self.when is not None and not self.when(situation):
            return None
        if callable(self.say):
            return self.say(situation)
        return string.Template(self.say).safe_substitute(groups)


class ScriptedEngine:
    """
    Engine that follows a table.

    :param script: YAML file with `rules`, and optionally `tokens_per_s` and `fallback`.
    :param rules: the table itself, instead of a file.
    :param tokens_per_s: speed of the output; 0.0: as fast as possible.
    :param first_token_s: wait before the first token, in seconds.
    """

    def __init__(self, script: str = '', rules: Sequence[Rule] = (), tokens_per_s: float = 0.0,
                 first_token_s: float = 0.0, fallback: str = FALLBACK):
        self._script = script
        self._rules = tuple(rules)
        self._tokens_per_s = tokens_per_s
        self._first_token_s = first_token_s
        self._fallback = fallback

    def load(self) -> None:
        """Read the table; raises EngineError naming what is wrong in it."""
        if not self._script:
            return
        path = pathlib.Path(self._script).expanduser()
        try:
            table = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
        except OSError as error:
            raise EngineError(f'cannot read the script {path}: {error.strerror}; give the path of '
                              'a YAML file with rules') from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise EngineError(f'the script {path} is not YAML: {error}') from None
        if not isinstance(table, Mapping) or not isinstance(table.get('rules'), list):
            raise EngineError(f'the script {path} needs a list `rules`')
        self._rules = tuple(_rule(path, i, value) for i, value in enumerate(table['rules'], 1))
        self._tokens_per_s = self._tokens_per_s or float(table.get('tokens_per_s', 0.0))
        self._fallback = str(table.get('fallback', self._fallback))

    def info(self) -> EngineInfo:
        """Say clearly that this is no model."""
        return EngineInfo('scripted', f'no model, a script of {len(self._rules)} rules', 'none',
                          details={'scripted': True, 'script': self._script or 'in code'})

    def answer(self, prompt: str) -> str:
        """Return the whole output: to the person's words first, then to each notification."""
        situation = Situation.of(prompt)
        outputs: List[Optional[str]] = []
        if situation.user or not situation.notifications:
            outputs.append(self._first(situation, [r for r in self._rules if not r.notification]))
        about = [r for r in self._rules if r.notification]
        outputs += [self._first(situation, about, n) for n in situation.notifications]
        if all(o is None for o in outputs):
            return self._fallback
        return '\n'.join(o.strip() for o in outputs if o and o.strip())

    @staticmethod
    def _first(situation, rules, notification='') -> Optional[str]:
        for rule in rules:
            output = rule.output(situation, notification)
            if output is not None:
                return output
        return None

    def stream(self, request: GenerationRequest, abort: threading.Event) -> Iterator[str]:
        """Yield the output in pieces of about a token, at the set speed."""
        stats = request.stats
        stats.prompt_tokens = len(_TOKEN.findall(request.prompt))
        stats.finish_reason = 'stop'
        wait_s = self._first_token_s
        for token in _TOKEN.findall(self.answer(request.prompt)):
            if abort.is_set() or (wait_s and abort.wait(wait_s)):
                stats.finish_reason = 'aborted'
                return
            if stats.output_tokens >= request.max_tokens:
                stats.finish_reason = 'length'
                return
            stats.output_tokens += 1
            yield token
            wait_s = 1.0 / self._tokens_per_s if self._tokens_per_s > 0 else 0.0
        if wait_s and abort.wait(wait_s):    # a model's end takes a token too
            stats.finish_reason = 'aborted'

    def forget(self, instance: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _rule(path: pathlib.Path, number: int, value: Any) -> Rule:
    conditions = ('user', 'notification', 'running', 'prompt')
    place = f'rule {number} of the script {path}'
    if not isinstance(value, Mapping):
        raise EngineError(f'{place} must be a mapping, not {json.dumps(value, default=str)}')
    unknown = sorted(set(value) - {*conditions, 'say'})
    if unknown or not isinstance(value.get('say'), str):
        raise EngineError(f'{place} must have `say` and may have {", ".join(conditions)}'
                          + (f', not {", ".join(map(str, unknown))}' if unknown else ''))
    for name in conditions:
        try:
            re.compile(value.get(name, ''))
        except (re.error, TypeError) as error:
            raise EngineError(f'{place}: {name} is not a regular expression: {error}') from None
    return Rule(**value)
