"""What a tool is, as its server describes it, and the check of arguments against its schema."""
import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Mapping, Optional, Tuple

import jsonschema

from async_agent_ros.core import spoken_time
from async_agent_ros.core.words import Busy, Duplicates, Effect

NAME_PATTERN = re.compile(r'[a-z][a-z0-9_]*\Z')


def _formats() -> jsonschema.FormatChecker:
    """Return the formats that are checked: time spans and times of day as people say them."""
    checker = jsonschema.FormatChecker(())
    for name, check in (('time-span', spoken_time.check_span),
                        ('time-of-day', spoken_time.check_time)):
        def holds(value, check=check):
            if isinstance(value, str):
                check(value)
            return True
        checker.checks(name, ValueError)(holds)
    return checker


_FORMATS = _formats()


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no ASCII escapes."""
    return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)


@dataclass(frozen=True)
class Example:
    """An utterance and the arguments that it should lead to; shown to the model."""

    say: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolSpec:
    """A tool of the catalogue. The fields are those of ToolSpec.msg, the JSON ones as values."""

    name: str
    description: str = ''
    arguments_schema: Mapping[str, Any] = field(
        default_factory=lambda: {'type': 'object', 'properties': {}})
    result_schema: Optional[Mapping[str, Any]] = None
    effect: Effect = Effect.STATE_CHANGING
    duplicates: Optional[Duplicates] = None
    wait_for_final: bool = False
    timeout_s: float = 0.0
    motion: bool = False
    cancel_on_barge_in: bool = False
    resources: Tuple[str, ...] = ()
    when_busy: Busy = Busy.QUEUE
    max_per_minute: float = 0.0
    examples: Tuple[Example, ...] = ()
    action_name: str = ''

    def __post_init__(self):
        if not NAME_PATTERN.match(self.name):
            raise ValueError(
                f'tool name {self.name!r} is not usable: use lower case letters, digits and _')

    @property
    def duplicate_policy(self) -> Duplicates:
        """The declared policy, else allow for read-only tools and reject for the others."""
        if self.duplicates is not None:
            return self.duplicates
        return Duplicates.ALLOW if self.effect == Effect.READ_ONLY else Duplicates.REJECT

    def to_json(self) -> Dict[str, Any]:
        """Return the JSON object that stands in the ledger."""
        return {**asdict(self),
                'effect': str(self.effect),
                'duplicates': str(self.duplicates) if self.duplicates else None,
                'resources': list(self.resources), 'when_busy': str(self.when_busy),
                'examples': [asdict(e) for e in self.examples]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> 'ToolSpec':
        """Invert to_json(); unknown keys are ignored, unknown effects count as state-changing."""
        known = {f.name for f in fields(cls)}
        given = {k: v for k, v in value.items() if k in known}
        try:
            given['effect'] = Effect(given.get('effect', ''))
        except ValueError:
            given['effect'] = Effect.STATE_CHANGING
        duplicates = given.get('duplicates')
        given['duplicates'] = Duplicates(duplicates) if duplicates else None
        given['resources'] = tuple(given.get('resources', ()))
        given['when_busy'] = Busy(given.get('when_busy') or Busy.QUEUE)
        given['examples'] = tuple(
            e if isinstance(e, Example) else Example(e['say'], e.get('arguments', {}))
            for e in given.get('examples', ()))
        return cls(**given)

    def check_arguments(self, arguments: Any) -> Optional[str]:
        """Return what is wrong with the arguments, for the model to read, or None."""
        validator = jsonschema.Draft202012Validator(dict(self.arguments_schema),
                                                    format_checker=_FORMATS)
        problems = []
        for error in sorted(validator.iter_errors(arguments), key=lambda e: e.json_path):
            place = error.json_path.removeprefix('$').removeprefix('.')
            message = str(error.cause or error.message)
            problems.append(f'{place}: {message}' if place else message)
        return '; '.join(problems) or None
