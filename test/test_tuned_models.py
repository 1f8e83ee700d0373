"""A tuned model is a folder that names base, adapters and prompt; one parameter is enough."""
from async_agent_ros import bringup, models, tuned_models
from async_agent_ros.demo import needs
from async_agent_ros.llm import factory
from async_agent_ros.llm.engine import EngineError
from async_agent_ros.training.cases import natural
from async_agent_ros.training.evaluate import run_case
from async_agent_ros.training.paths import load_format
from async_agent_ros.training.robots import sim_specs
import pytest


@pytest.fixture
def folder(tmp_path):
    """Return a folder of a tuned model, as `train learn` leaves it."""
    tuned_models.write(tmp_path, 'qwen2.5-coder-0.5b',
                       {'llama_cpp': 'adapter.gguf', 'transformers': 'run/adapter'}, 'prompt.yaml')
    (tmp_path / 'adapter.gguf').write_bytes(b'GGUF')
    (tmp_path / 'run' / 'adapter').mkdir(parents=True)
    (tmp_path / 'prompt.yaml').write_text('format: {}\n')
    return tmp_path


def test_a_folder_names_base_adapters_and_prompt(folder):
    found = tuned_models.find(str(folder))
    assert found.base == 'qwen2.5-coder-0.5b'
    assert found.adapters == {'llama_cpp': str(folder / 'adapter.gguf'),
                              'transformers': str(folder / 'run' / 'adapter')}
    assert found.prompt_file == str(folder / 'prompt.yaml')


def test_a_folder_among_the_models_is_found_by_its_name(folder, monkeypatch):
    monkeypatch.setenv('ASYNC_AGENT_MODELS', str(folder.parent))
    assert tuned_models.find(folder.name).base == 'qwen2.5-coder-0.5b'


@pytest.mark.parametrize('name', ('', 'qwen2.5-coder-0.5b', 'nothing', '/no/such/folder'))
def test_other_models_are_none(name):
    assert tuned_models.find(name) is None


@pytest.mark.parametrize('text', ('{', '[]', '{"base": 3, "adapters": {}}', '{"base": "x"}',
                                  '{"base": "x", "adapters": {}, "weights": "y"}'))
def test_a_broken_file_is_named(folder, text):
    (folder / tuned_models.FILE).write_text(text)
    with pytest.raises(models.ModelError, match=tuned_models.FILE):
        tuned_models.find(str(folder))


def test_a_file_that_is_not_there_is_named(folder):
    (folder / 'adapter.gguf').unlink()
    with pytest.raises(models.ModelError, match='names adapter.gguf, which is not in .*whole'):
        tuned_models.find(str(folder))


def test_the_engine_gets_its_adapter_or_says_which_there_are(folder):
    found = tuned_models.find(str(folder))
    engine = factory.make_engine('llama_cpp', model=found.base, adapters=found.adapters)
    assert engine.info().details['adapter'] == str(folder / 'adapter.gguf')
    with pytest.raises(EngineError, match='openai, only for llama_cpp, transformers'):
        factory.make_engine('openai', model=found.base, adapters=found.adapters)
    own = factory.make_engine('llama_cpp', model=found.base, adapters=found.adapters,
                              adapter='/my/own.gguf')
    assert own.info().details['adapter'] == '/my/own.gguf'


def test_a_demo_needs_its_base(folder):
    settings = bringup.Settings(model=str(folder), nodes='dispatcher')
    assert needs.needed_models(settings) == ['qwen2.5-coder-0.5b']


def test_every_packaged_one_has_a_known_base_and_a_card():
    packaged = tuned_models.packaged()
    assert 'sim_robot-0.5b' in packaged
    for name, model in packaged.items():
        assert model.base in models.CATALOGUE and tuned_models.find(name) == model
        assert (tuned_models._packaged_folder() / name / 'MODEL_CARD.md').is_file()


def test_the_packaged_one_calls_the_tools_of_the_simulated_robot():
    pytest.importorskip('xllamacpp')
    tuned = tuned_models.find('sim_robot-0.5b')
    try:
        models.find(tuned.base)
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    form = load_format(tuned.prompt_file)
    wanted = ('locate screwdriver', 'battery?', 'can you grab that apple for me')
    chosen = [c for c in natural(0, sim_specs()) if c.entries[-1].content in wanted]
    assert len(chosen) == len(wanted)
    engine = factory.make_engine('llama_cpp', model=tuned.base, adapters=tuned.adapters,
                                 threads=2, prefix_folder='')
    engine.load()
    try:
        found = [run_case(engine, case, form, True, False) for case in chosen]
    finally:
        engine.close()
    assert all(v.right and not v.valid for v in found), [v.output for v in found]
