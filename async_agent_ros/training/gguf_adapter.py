"""
An adapter as a GGUF file, which llama.cpp adds to the packaged base model while it runs.

Made for models of the Llama and Qwen2 families. GGUF keeps the rows of Llama's query and key
projections in another order (pairs of the rotary embedding lie side by side), so that half of the
adapter that makes the rows is put in that order too.
"""
import json
import pathlib
import re
from typing import Any, Dict, Tuple

from async_agent_ros.training.sft import module, TrainingError

ARCHITECTURES = {'llama': 'llama', 'qwen2': 'qwen2', 'qwen3': 'qwen3'}
_NAMES = {'q_proj': 'attn_q', 'k_proj': 'attn_k', 'v_proj': 'attn_v', 'o_proj': 'attn_output',
          'gate_proj': 'ffn_gate', 'up_proj': 'ffn_up', 'down_proj': 'ffn_down'}
_KEY = re.compile(r'.*\.layers\.(\d+)\.\w+\.(\w+)\.lora_([AB])\.weight\Z')


def write_gguf(adapter: pathlib.Path, target: pathlib.Path, model: str = '') -> pathlib.Path:
    """Write the adapter in a folder as a GGUF file; raises TrainingError when that cannot be."""
    from async_agent_ros.training.sft import source
    gguf, safetensors = module('gguf'), module('safetensors.numpy')
    transformers = module('transformers')
    adapter = pathlib.Path(adapter)
    if not (adapter / 'adapter_config.json').is_file():
        raise TrainingError(f'{adapter} holds no adapter; train one with: async-agent train sft')
    settings = json.loads((adapter / 'adapter_config.json').read_text())
    config = transformers.AutoConfig.from_pretrained(
        source(model or settings['base_model_name_or_path']))
    if config.model_type not in ARCHITECTURES:
        raise TrainingError(f'adapters of {config.model_type} models have no GGUF form here '
                            f'(only {", ".join(ARCHITECTURES)}); merge it instead')
    writer = gguf.GGUFWriter(str(target), ARCHITECTURES[config.model_type])
    writer.add_string('general.type', 'adapter')
    writer.add_string('adapter.type', 'lora')
    writer.add_float32('adapter.lora.alpha', float(settings['lora_alpha']))
    tensors = safetensors.load_file(adapter / 'adapter_model.safetensors')
    for key in sorted(tensors):
        name, value = _named(key, tensors[key], config)
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _named(key: str, value: Any, config: Any) -> Tuple[str, Any]:
    numpy = module('numpy')
    match = _KEY.match(key)
    if not match or match[2] not in _NAMES:
        raise TrainingError(f'the tensor {key} of the adapter has no place in GGUF; train '
                            f'{", ".join(_NAMES)} only')
    layer, part, half = match.groups()
    if half == 'B' and config.model_type == 'llama' and part in ('q_proj', 'k_proj'):
        heads = (config.num_attention_heads if part == 'q_proj'
                 else config.num_key_value_heads)
        value = _pairs_together(value, heads)
    value = numpy.ascontiguousarray(value.astype(numpy.float16))
    return f'blk.{layer}.{_NAMES[part]}.weight.lora_{half.lower()}', value


def _pairs_together(value: Any, heads: int) -> Any:
    rows, rank = value.shape
    return value.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def facts(target: pathlib.Path) -> Dict[str, Any]:
    """Return what a GGUF adapter says of itself, for the model card."""
    gguf = module('gguf')
    reader = gguf.GGUFReader(str(target))
    return {'architecture': reader.fields['general.architecture'].contents(),
            'alpha': reader.fields['adapter.lora.alpha'].contents(),
            'tensors': len(reader.tensors), 'bytes': pathlib.Path(target).stat().st_size}
