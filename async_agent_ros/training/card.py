"""The model card of a trained adapter: base, licence, data, seed, command, scores."""
import json
import pathlib
from typing import Any, Dict, Mapping, Sequence

from async_agent_ros import __version__, models

ORDER = ('valid_percent', 'call_accuracy_percent', 'plan_accuracy_percent',
         'commit_safety_percent', 'faithful_percent')


def licence_of(model: str) -> str:
    """Return the licence of a packaged base model; others have to be looked up."""
    known = models.CATALOGUE.get(model)
    return known.licence if known else 'see the base model'


def model_card(settings: Mapping[str, Any], data: Mapping[str, Any],
               rows: Sequence[Mapping[str, Any]], size_bytes: int, command: str) -> str:
    """Return the card as Markdown; `data`: card.json of the data, `rows`: those of `train eval`."""
    train = data['splits']['train']
    lines = [
        f'# An adapter for {settings["model"]}', '',
        f'Trained by async_agent_ros {__version__} for its protocol: calls with ids, partial '
        'speech, notifications (docs/training.md). Run it with this folder as the parameter '
        '`model` of the dispatcher.', '',
        f'- Base: {settings["model"]}; its licence: {licence_of(settings["model"])}. '
        'The adapter: Apache-2.0.',
        f'- Size: {size_bytes / 1e6:.1f} MB, rank {settings["rank"]}.',
        f'- Data: {train["conversations"]:,} synthetic conversations, seed '
        f'{data["recipe"]["seed"]}, SHA-256 {train["sha256"]}; no text of people. Tools besides '
        f'invented ones: {", ".join(data["own_tools"]) or "none"}.',
        *([f'- Begun with the adapter {settings["start"]}.'] if settings.get('start') else []),
        f'- Made by: `{command}`', '', '## Scores', '']
    return '\n'.join([*lines, *_table(rows), ''])


def _table(rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    found: Dict[Any, Dict[str, Any]] = {}
    modes = []
    for row in rows:
        if row.get('metric') in ORDER:
            found.setdefault((row['workload'], row['metric']), {})[row['mode']] = row
            modes += [row['mode']] if row['mode'] not in modes else []
    if not found:
        return ['Not evaluated.']
    lines = ['| workload | metric | n | ' + ' | '.join(modes) + ' |',
             '|---|---|---:|' + '---:|' * len(modes)]
    for (workload, metric), by_mode in sorted(
            found.items(), key=lambda item: (item[0][0], ORDER.index(item[0][1]))):
        values = ' | '.join(f'{by_mode[m]["value"]:.1f}' if m in by_mode else '' for m in modes)
        count = max(r['n'] for r in by_mode.values())
        lines.append(f'| {workload} | `{metric}` | {count} | {values} |')
    return lines


def write_card(folder: pathlib.Path, settings: Mapping[str, Any], command: str,
               weights: pathlib.Path) -> pathlib.Path:
    """Write MODEL_CARD.md into the folder of `train learn`; return its path."""
    rows_file = folder / 'eval.json'
    rows = json.loads(rows_file.read_text()) if rows_file.is_file() else []
    text = model_card(settings, json.loads((folder / 'data' / 'card.json').read_text()), rows,
                      weights.stat().st_size, command)
    path = folder / 'MODEL_CARD.md'
    path.write_text(text, encoding='utf-8')
    return path
