"""Fine-tuning: packing changes nothing, only own words count, a run that was stopped goes on."""
import json
import pathlib
import threading

from async_agent_ros.training import curves, memory, tree_attention
from async_agent_ros.training.packing import Pack, packs, tokenised
from async_agent_ros.training.presets import preset, presets, Settings, settings_of
from async_agent_ros.training.samples import Sample
from async_agent_ros.training.synthesize import play, Recipe
from async_agent_ros.training.tables import TableError
import pytest
import tiny_model

pytest.importorskip('torch')
pytest.importorskip('peft')

import torch    # noqa: I100, E402
import transformers    # noqa: E402

from async_agent_ros.training.average import average    # noqa: I100, E402
from async_agent_ros.training.gguf_adapter import facts, write_gguf    # noqa: E402
from async_agent_ros.training.sft import (    # noqa: I100, E402
    first_adapter, merge, Trainer, TrainingError)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Return a folder with a model of two small layers, and a folder with data."""
    return tiny_model.make(tmp_path_factory.mktemp('tiny'))


def _settings(tiny, **more):
    return settings_of({
        'model': str(tiny / 'model'), 'rank': 4, 'learning_rate': 1e-2, 'pack_tokens': 2400,
        'longest_tokens': 2400, 'packs_per_step': 1, 'steps': 4, 'valid_every': 2,
        'valid_packs': 1, 'save_every': 2, 'device': 'cpu', 'dtype': 'float32', 'threads': 1,
        **more})


def _samples():
    head = 'The head that all share. '
    return [Sample(head + 'One. Yes! And. No!', [(30, 34), (40, 43)], about={'id': 'x'}),
            Sample(head + 'One. Yes! But. Why!', [(30, 34), (40, 44)], about={'id': 'x'}),
            Sample('Another one: Fine!', [(13, 18)], about={'id': 'y'})]


def test_the_mask_covers_exactly_the_characters_of_the_spans(tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny / 'model')
    for line in (tiny / 'data' / 'train.jsonl').read_text().splitlines()[:4]:
        sample = Sample.from_json(line)
        tokens = tokenised(sample, lambda t: tokenizer(t, add_special_tokens=False)['input_ids'])
        for number, (begin, end) in enumerate(sample.spans):
            mine = [i for i, own in zip(tokens.ids, tokens.own) if own == number]
            assert tokenizer.decode(mine) == sample.text[begin:end]
        rest = [i for i, own in zip(tokens.ids, tokens.own) if own < 0]
        assert tokenizer.decode(rest) == ''.join(t for t, own in sample.pieces if not own)


@pytest.mark.parametrize('dtype, most', [('float32', 1e-4), ('bfloat16', 0.1)])
def test_a_pack_gives_the_loss_of_its_samples_one_by_one(tiny, dtype, most):
    trainer = Trainer(_settings(tiny, dtype=dtype), tiny / 'data', tiny / f'run-packing-{dtype}')
    trainer.prepare()
    trainer.model.eval()
    tokens = [tokenised(s, trainer._encode) for s in _samples()]
    together, alone = Pack(), []
    for one in tokens:
        together.add(one)
        pack = Pack()
        pack.add(one)
        alone.append(pack)
    assert len(together.ids) < sum(len(t.ids) for t in tokens) - 10    # the head stands once
    with torch.no_grad():
        packed = {t: float(x) for t, x in zip(
            [(together.positions[i] + 1, together.ids[i], w) for i, w, _ in together.targets],
            trainer.losses(together)[0])}
        for pack in alone:
            for (index, wanted, _), loss in zip(pack.targets, trainer.losses(pack)[0]):
                key = (pack.positions[index] + 1, pack.ids[index], wanted)
                assert packed[key] == pytest.approx(float(loss), abs=most)


@pytest.mark.parametrize('ancestors, own', [(0, 5), (3, 7), (40, 600)])
def test_products_one_by_one_attend_as_the_fused_attention_does(ancestors, own):
    tree_attention.register(torch, transformers)
    attend = transformers.AttentionInterface()[tree_attention.NAME]
    pack = Pack(branches=[(0, ancestors, []), (ancestors, ancestors + own,
                                               list(range(ancestors)))][not ancestors:])
    torch.manual_seed(0)
    shapes = [(1, heads, ancestors + own, 8) for heads in (6, 2, 2)]
    drawn = [torch.randn(s).requires_grad_() for s in shapes]
    weights = torch.randn(1, ancestors + own, 6, 8)
    found = []
    for plain in (False, True):
        out, _ = attend(None, *drawn, None, scaling=0.3,
                        tree=tree_attention.branches(torch, pack, 'cpu', plain))
        found.append((out, *torch.autograd.grad((out * weights).sum(), drawn)))
    for one, other in zip(*found):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize('times, room', [(1.2, False), (1.5, True)])
def test_freed_memory_is_kept_where_there_is_room_for_the_gaps(times, room, monkeypatch):
    page = memory.os.sysconf('SC_PAGE_SIZE')
    held = memory.resource.getrusage(memory.resource.RUSAGE_SELF).ru_maxrss * 1024
    monkeypatch.setattr(memory.os, 'sysconf', {'SC_PHYS_PAGES': int(held * times / page),
                                               'SC_PAGE_SIZE': page}.__getitem__)
    assert memory.has_room() == room


def test_memory_is_given_back_when_much_is_held():
    assert not memory.give_back(1.0)
    assert memory.give_back(0.0) == pathlib.Path('/proc/self/statm').exists()


def test_conversations_with_the_same_robot_share_the_head_of_a_pack(tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny / 'model')

    def encode(text):
        return tokenizer(text, add_special_tokens=False)['input_ids']
    recipe = Recipe(conversations=4, seed=5, stream=0.0, per_robot=2)
    samples = [s for i in range(4) for s in play(recipe, 'train', i).samples]
    heads = [s.text[:s.text.index('<|im_end|>')] for s in samples]
    robots = [s.about['robot'] for s in samples]
    assert len(set(robots)) == len(set(heads)) == 2
    assert len({s.about['id'] for s in samples}) == 4
    head = {robot: len(encode(text)) for robot, text in zip(robots, heads)}
    tokens = [tokenised(s, encode) for s in samples]
    whole, = packs(tokens, 100_000, 1)
    apart = sum(len(packs([t for t in tokens if t.conversation == name], 100_000, 1)[0].ids)
                for name in {t.conversation for t in tokens})
    assert len(whole.ids) <= apart - sum(head.values()) + 4


def test_an_adapter_for_the_upper_layers_leaves_the_lower_ones_alone(tiny):
    settings = _settings(tiny, top_layers=1)
    trainer = Trainer(settings, tiny / 'data', tiny / 'run-top')
    rows = trainer.run(until=2)
    assert rows[-1]['loss'] < rows[1]['loss'] + 0.5
    trained = [n for n, p in trainer.model.named_parameters() if p.requires_grad]
    assert len(trained) == 14 and all('.layers.1.' in n for n in trained)
    on = Trainer(settings, tiny / 'data', tiny / 'run-top')
    on.run()
    path = write_gguf(tiny / 'run-top' / 'adapter', tiny / 'top.gguf')
    import gguf
    names = [t.name for t in gguf.GGUFReader(str(path)).tensors]
    assert len(names) == 14 and all(n.startswith('blk.1.') for n in names)


def test_a_run_can_begin_with_an_adapter(tiny):
    folder = tiny / 'whole-lora'
    if not (folder / 'adapter').is_dir():
        Trainer(_settings(tiny, dropout=0.1), tiny / 'data', folder).run()
    first = Trainer(_settings(tiny), tiny / 'data', tiny / 'run-first')
    first.prepare()
    on = Trainer(_settings(tiny, start=str(folder / 'adapter')), tiny / 'data', tiny / 'run-on')
    on.prepare()
    before, after = first.validate()[0], on.validate()[0]
    assert after < before - 0.01
    on.run(until=1)
    assert on.step == 1
    with pytest.raises(TrainingError, match='no adapter to begin with'):
        Trainer(_settings(tiny, start=str(tiny)), tiny / 'data', tiny / 'run-no').prepare()


def test_a_run_begins_with_a_tuned_model_by_its_name(tiny):
    named = preset('own-tools')
    assert (first_adapter(named) / 'adapter_model.safetensors').is_file()
    with pytest.raises(TrainingError, match='is for the model qwen2.5-coder-0.5b, not for'):
        first_adapter(_settings(tiny, start=named.start))


def test_layers_that_an_adapter_lacks_begin_fresh_and_change_nothing_at_first(tiny):
    top = Trainer(_settings(tiny, top_layers=1, steps=2), tiny / 'data', tiny / 'run-narrow')
    top.run()
    start = str(tiny / 'run-narrow' / 'adapter')
    wide = Trainer(_settings(tiny, start=start), tiny / 'data', tiny / 'run-wide')
    wide.prepare()
    assert sum(p.requires_grad for p in wide.model.parameters()) == 28
    assert wide.validate()[0] == pytest.approx(top.validate()[0], abs=2e-3)    # half precision
    wide.run(until=2)
    mean = average(pathlib.Path(start), tiny / 'run-wide' / 'adapter', tiny / 'mean', 0.0)
    same = Trainer(_settings(tiny, start=str(mean)), tiny / 'data', tiny / 'run-mean')
    same.prepare()
    assert same.validate()[0] == pytest.approx(top.validate()[0], abs=2e-3)


def test_packs_hold_every_sample_once_in_an_order_by_seed():
    tokens = [tokenised(Sample('x' * n + 'y', [(n, n + 1)], about={'id': f'{n % 5}'}),
                        lambda t: [ord(c) for c in t]) for n in range(1, 40)]
    made = packs(tokens, 60, 1)
    assert all(len(p.ids) <= 60 for p in made)
    assert sum(len(p.targets) for p in made) == 39
    assert [p.ids for p in made] == [p.ids for p in packs(tokens, 60, 1)]
    assert [p.ids for p in made] != [p.ids for p in packs(tokens, 60, 2)]


@pytest.mark.parametrize('method', ('lora', 'full'))
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tiny, method):
    settings = _settings(tiny, method=method, dropout=0.1 if method == 'lora' else 0.0)
    whole = Trainer(settings, tiny / 'data', tiny / f'whole-{method}').run()
    Trainer(settings, tiny / 'data', tiny / f'parts-{method}').run(until=2)
    # what it has learned so far can be used
    assert (tiny / f'parts-{method}' / ('adapter' if method == 'lora' else 'merged')).is_dir()
    parts = Trainer(settings, tiny / 'data', tiny / f'parts-{method}').run()
    assert [r['step'] for r in parts] == [0, 1, 2, 3, 4]
    losses = [r['loss'] for r in parts[1:]]
    assert losses == pytest.approx([r['loss'] for r in whole[1:]], abs=2e-5)
    assert parts[-1]['valid_loss'] == pytest.approx(whole[-1]['valid_loss'], abs=2e-5)
    # and it learns: all weights of a fresh model do so faster than an adapter
    assert whole[-1]['loss'] < whole[1]['loss'] - (0.3 if method == 'full' else 0.0)
    logged = curves.read(tiny / f'parts-{method}' / 'log.csv')
    assert [r['loss'] for r in logged] == [r['loss'] for r in parts]
    assert '<polyline' in (tiny / f'parts-{method}' / 'curves.svg').read_text()
    with pytest.raises(TrainingError, match='other settings .learning_rate.'):
        Trainer(_settings(tiny, method=method, learning_rate=1.0,
                          dropout=settings.dropout), tiny / 'data',
                tiny / f'parts-{method}').prepare()


def test_adapter_and_merged_weights_say_the_same(tiny):
    import peft
    folder = tiny / 'whole-lora'
    if not (folder / 'adapter').is_dir():
        Trainer(_settings(tiny, dropout=0.1), tiny / 'data', folder).run()
    config = json.loads((folder / 'adapter' / 'adapter_config.json').read_text())
    assert config['base_model_name_or_path'] == str(tiny / 'model')
    merged = merge(folder / 'adapter', tiny / 'merged')
    ids = torch.tensor([[5, 9, 77, 30, 200]])
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny / 'model')
    plain = base(ids).logits.detach().clone()
    adapted = peft.PeftModel.from_pretrained(base, folder / 'adapter')(ids).logits
    one = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(ids).logits
    assert torch.allclose(adapted, one, atol=0.05)
    assert not torch.allclose(adapted, plain, atol=0.2)


def test_the_engine_takes_an_adapter_and_says_what_is_wrong_with_one(tiny, tmp_path):
    from async_agent_ros.llm.engine import EngineError, GenerationRequest
    from async_agent_ros.llm.factory import make_engine
    folder = tiny / 'whole-lora'
    if not (folder / 'adapter').is_dir():
        Trainer(_settings(tiny, dropout=0.1), tiny / 'data', folder).run()

    def says(**params):
        engine = make_engine('transformers', threads=1, device='cpu', constrain=False, **params)
        engine.load()
        text = ''.join(engine.stream(GenerationRequest('main', 'Go to the kitchen.', 12),
                                     threading.Event()))
        engine.close()
        return text
    merged = merge(folder / 'adapter', tmp_path / 'merged')
    base = says(model=str(tiny / 'model'))
    adapted = says(model=str(tiny / 'model'), adapter=str(folder / 'adapter'))
    assert adapted != base and adapted == says(model=str(merged), dtype='float32')
    with pytest.raises(EngineError, match='no folder of an adapter'):
        says(model=str(tiny / 'model'), adapter=str(tmp_path))
    with pytest.raises(EngineError, match='takes no adapter'):
        make_engine('openai', adapter='some')


def test_an_adapter_becomes_a_gguf_file_in_the_order_of_llama_cpp(tiny, tmp_path):
    import gguf
    import numpy
    from safetensors.numpy import load_file
    folder = tiny / 'whole-lora'
    if not (folder / 'adapter').is_dir():
        Trainer(_settings(tiny, dropout=0.1), tiny / 'data', folder).run()
    path = write_gguf(folder / 'adapter', tmp_path / 'adapter.gguf')
    assert facts(path)['architecture'] == 'llama' and facts(path)['alpha'] == 32.0
    mine = {t.name: t.data for t in gguf.GGUFReader(str(path)).tensors}
    assert len(mine) == 2 * 7 * 2
    theirs = load_file(folder / 'adapter' / 'adapter_model.safetensors')
    before = next(v for k, v in theirs.items() if 'layers.1' in k and 'q_proj.lora_B' in k)
    after = mine['blk.1.attn_q.weight.lora_b']
    # 4 heads of 8 rows: rows 0 and 4 of a head become rows 0 and 1
    assert numpy.array_equal(after[8:16], before[8:16][[0, 4, 1, 5, 2, 6, 3, 7]])
    plain = next(v for k, v in theirs.items() if 'layers.0' in k and 'v_proj.lora_B' in k)
    assert numpy.array_equal(mine['blk.0.attn_v.weight.lora_b'], plain)


def test_presets_and_settings_are_checked():
    assert set(presets()) >= {'smollm2-135m', 'qwen2.5-coder-0.5b', 'qwen2.5-0.5b-instruct',
                              'qwen2.5-1.5b-instruct', 'qwen2.5-3b-instruct',
                              'llama-3.2-1b-instruct', 'llama-3.2-3b-instruct'}
    for name in presets():
        assert isinstance(preset(name), Settings)
    with pytest.raises(TableError, match='no preset'):
        preset('none')
    with pytest.raises(TableError, match='unknown training setting'):
        settings_of({'lr': 1})
    with pytest.raises(TableError, match='must be like'):
        settings_of({'rank': 'many'})


def test_without_data_or_model_it_says_what_to_do(tiny, tmp_path):
    with pytest.raises(TrainingError, match='async-agent train synthesize'):
        Trainer(_settings(tiny), tmp_path, tmp_path / 'run').run()
    with pytest.raises(TrainingError, match='no model at'):
        Trainer(_settings(tiny, model=str(tmp_path / 'none')), tiny / 'data',
                tmp_path / 'run2').run()
