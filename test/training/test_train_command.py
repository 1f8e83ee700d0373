"""`async-agent train`: each step from the command line, and all of them for a robot's own tools."""
import json

from async_agent_ros import cli
from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.training import evaluate
from async_agent_ros.training.own_tools import as_json, read_catalogue
from async_agent_ros.training.paraphrase import load_or_ask, usable
from async_agent_ros.training.tables import TableError
import pytest
import tiny_model


def test_tools_of_the_simulated_robot_are_written_and_read_again(tmp_path, capsys):
    assert cli.main(['train', 'tools', '--tools', 'sim', '-o', str(tmp_path / 'tools.json')]) == 0
    specs = read_catalogue(tmp_path / 'tools.json')
    assert {'navigate_to', 'get_battery'} <= {s.name for s in specs}
    assert '8 tools' in capsys.readouterr().out


def test_data_of_no_robot(tmp_path, capsys):
    assert cli.main(['train', 'synthesize', '--tools', 'none', '--conversations', '3',
                     '--out', str(tmp_path / 'data')]) == 0
    assert 'train: 3 conversations' in capsys.readouterr().out
    assert '| conversations | 3 | 1 | 1 |' in (tmp_path / 'data' / 'README.md').read_text()


@pytest.mark.parametrize('arguments, said', (
    (['synthesize', '--tools', '/none.yaml', '--out', '/tmp/x'], 'cannot be read from /none.yaml'),
    (['sft', '--data', '/none', '--out', 'OUT', '--preset', 'huge'], 'there is no preset'),
    (['sft', '--data', '/none', '--out', 'OUT', '--set', 'rank'], 'write NAME=VALUE'),
    (['export', '/none', '-o', '/tmp/x.gguf'], 'holds no adapter'),
    (['average', '/none', '/none', '-o', '/tmp/x'], 'holds no adapter'),
    (['average', '/none', '/none', '--weight', '2', '-o', '/tmp/x'], 'between 0 and 1'),
    (['eval', '--modes', 'best'], 'is not one of base, constrained, untrained, tuned'),
    (['eval', '--workloads', 'all', '--modes', 'base'], 'is not one of templates')))
def test_what_is_wrong_is_said_in_one_line(arguments, said, tmp_path, capsys):
    assert cli.main(['train', *(str(tmp_path) if a == 'OUT' else a for a in arguments)]) == 1
    assert said in capsys.readouterr().err


def test_a_robots_own_tools_are_learned_by_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, 'MOST_TOKENS', 6)    # what a fresh model writes has no end
    pytest.importorskip('peft')
    pytest.importorskip('gguf')
    tiny_model.make(tmp_path)
    tools = tmp_path / 'tools.json'
    tools.write_text(as_json([
        ToolSpec('wave', 'Wave a hand.', effect=Effect.STATE_CHANGING,
                 examples=(Example('Wave to me.'),)),
        ToolSpec('read_meter', 'Read the meter.', {'type': 'object', 'properties': {
            'meter': {'type': 'string', 'enum': ['water', 'gas']}}, 'required': ['meter']},
            effect=Effect.READ_ONLY,
            examples=(Example('How is the gas meter?', {'meter': 'gas'}),))]))
    out = tmp_path / 'learned'
    learn = ['train', 'learn', '--tools', str(tools), '--out', str(out), '--conversations', '4',
             '--model', str(tmp_path / 'model'), '--steps', '2', '--threads', '1', '--device',
             'cpu', '--set', 'start=', '--set', 'top_layers=0', '--set', 'pack_tokens=3000',
             '--set', 'longest_tokens=3000', '--set',
             'packs_per_step=1', '--set', 'valid_packs=1', '--cases', '10', '--workloads',
             'new_tools', '--modes', 'tuned']
    assert cli.main(learn) == 0
    assert (out / 'adapter.gguf').is_file()
    rows = json.loads((out / 'eval.json').read_text())
    assert {r['metric'] for r in rows[1:]} >= {'valid_percent', 'turn_s'}
    assert '"read_meter"' in (out / 'data' / 'train.jsonl').read_text().replace('\\', '')
    card = (out / 'MODEL_CARD.md').read_text()
    assert '`valid_percent`' in card and 'wave, read_meter' in card and 'seed 1' in card
    before = (out / 'run' / 'adapter' / 'adapter_model.safetensors').stat().st_mtime_ns
    monkeypatch.setattr('async_agent_ros.commands.train.run_eval', lambda args: 0)
    assert cli.main(learn) == 0    # what is done is not done again
    assert (out / 'run' / 'adapter' / 'adapter_model.safetensors').stat().st_mtime_ns == before
    # from an adapter: what is used is the mean with it
    more = [a.replace(str(out), str(tmp_path / 'more')).replace(
        'start=', f'start={out / "run" / "adapter"}') for a in learn]
    assert cli.main([*more, '--weight', '0']) == 0
    load = pytest.importorskip('safetensors.torch').load_file
    first, learned, mean = (load(f / 'adapter_model.safetensors') for f in (
        out / 'run' / 'adapter', tmp_path / 'more' / 'run' / 'adapter', tmp_path / 'more' /
        'adapter'))
    assert all((mean[k] - first[k]).abs().max() < 1e-3 for k in first)
    assert any((learned[k] - first[k]).abs().max() > 1e-3 for k in first)
    assert json.loads((tmp_path / 'more' / 'model.json').read_text())['adapters'][
        'transformers'] == 'adapter'


def test_wordings_of_a_model_are_checked_and_kept(tmp_path):
    assert usable('fetch the {item}', 'grab the {item}', ())
    assert not usable('fetch it', 'grab the {item}', ())
    assert not usable('Grab the {item}', 'pick it', ['grab the {item}'])
    from async_agent_ros.training.tables import language
    known = {a: ['some words'] for c in language('train').concepts for a in c.ask}
    (tmp_path / 'paraphrases.json').write_text(json.dumps(known))
    assert load_or_ask(tmp_path, 'http://127.0.0.1:9/v1', '', 2, 1) == known
    with pytest.raises(TableError, match='does not reword'):
        load_or_ask(tmp_path / 'other', 'http://127.0.0.1:9/v1', '', 2, 1)
