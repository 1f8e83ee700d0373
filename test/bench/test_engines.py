"""`async-agent bench engines`: every metric of every engine, and ratios against the first."""
from types import SimpleNamespace

import pytest

from async_agent_ros import models
from async_agent_ros.bench import engines
from async_agent_ros.bench.common import rows

MODEL = 'smollm2-135m'


def arguments(**other):
    return SimpleNamespace(**{'engines': 'llama_cpp,transformers', 'model': MODEL, 'device': '',
                              'threads': 2, 'tokens': 6, 'n': 1, **other})


def test_both_engines_are_measured_on_the_same_weights():
    for module in ('torch', 'transformers', 'xllamacpp'):
        pytest.importorskip(module)
    try:
        models.find(MODEL)
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    found = rows.checked(engines.run(arguments()))
    measured = {(r['metric'], r['mode']): r for r in found}
    for metric in engines.MEASURED:
        for name in ('llama_cpp', 'transformers'):
            assert measured[metric, name]['p50'] > 0.0
    ratio = measured['decode_4_ratio', 'transformers over llama_cpp']['value']
    assert ratio == pytest.approx(
        measured['decode_4_tokens_per_s', 'transformers']['p50']
        / measured['decode_4_tokens_per_s', 'llama_cpp']['p50'], rel=0.01)


def test_an_unknown_engine_is_named():
    with pytest.raises(engines.EnginesError, match="'vapour'.*llama_cpp"):
        engines.run(arguments(engines='vapour'))
