"""Weights as PyTorch reads them: a folder of safetensors, made once from a GGUF file."""
import importlib
import os
import pathlib

from async_agent_ros import models
from async_agent_ros.llm.engine import EngineError, ModelMissingError


def weights_folder(model: str) -> pathlib.Path:
    """
    Return a folder of safetensors for a packaged model or a path.

    GGUF weights are dequantised once (20-80 s) into a folder beside them; loading that takes
    1-5 s. Raises ModelMissingError or EngineError.
    """
    try:
        path = models.find(model)
    except models.ModelMissingError as error:
        raise ModelMissingError(str(error)) from error
    if path.is_dir() and (path / 'config.json').is_file():
        return path
    gguf = path if path.is_file() else path / 'model.gguf'
    if not gguf.is_file():
        raise ModelMissingError(f'there are neither safetensors nor model.gguf in {path}')
    folder = gguf.parent / (gguf.stem + '.safetensors.d')
    if not (folder / 'config.json').is_file():
        _convert(gguf, folder)
    return folder


def _convert(gguf, folder):
    torch = importlib.import_module('torch')
    transformers = importlib.import_module('transformers')
    partial = folder.with_name(f'{folder.name}.{os.getpid()}')
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
        # else it would be saved as what it was before it was dequantised
        model.hf_quantizer = None
        for name in ('quantization_config',):
            if hasattr(model.config, name):
                delattr(model.config, name)
        model.is_quantized = False
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
    except ImportError as error:
        raise EngineError(f'GGUF weights need the package gguf ({error}); get it with: '
                          f'pip install gguf') from error
    except (OSError, ValueError, RuntimeError) as error:
        if not (folder / 'config.json').is_file():
            raise EngineError(f'cannot convert {gguf}: {error}; check the file and the space on '
                              f'the disk') from error
