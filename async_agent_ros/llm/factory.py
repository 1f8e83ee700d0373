"""Engines by name. The heavy modules are imported only when they are asked for."""
import importlib
import importlib.util
import inspect
from typing import Any, Dict, List, Tuple

from async_agent_ros import models
from async_agent_ros.llm.engine import Engine, EngineError, ModelMissingError

ENGINES: Dict[str, Tuple[str, str, str, str]] = {
    'llama_cpp': ('async_agent_ros.llm.llama_cpp', 'LlamaCppEngine', 'xllamacpp', 'llama'),
    'transformers': ('async_agent_ros.llm.transformers_engine', 'TransformersEngine',
                     'transformers', 'transformers'),
    'openai': ('async_agent_ros.llm.openai_engine', 'OpenAIEngine', 'httpx', 'openai'),
    'scripted': ('async_agent_ros.llm.scripted', 'ScriptedEngine', 'yaml', ''),
}
"""Name: module, class, the third-party module it needs, the extra that installs it."""

LANGUAGE_MODELS = ('qwen2.5-coder-1.5b', 'qwen2.5-coder-0.5b', 'smollm2-135m')
"""Packaged language models, the best first; which is best on a machine is a parameter."""

REMEDY = 'get one with: async-agent models get qwen2.5-coder-0.5b'
NAMES = ('auto', *ENGINES)


def make_engine(name: str = 'auto', **params: Any) -> Engine:
    """
    Return an engine that is not loaded yet.

    'auto' takes llama.cpp, or transformers where that is not installed, with the best installed
    model. `adapters`: those of a tuned model, path by engine. Parameters that an engine does not
    have, and empty ones, are left out. Raises ModelMissingError or EngineError with the remedy.
    """
    adapters = params.pop('adapters', None)
    if name == 'auto':
        name, params = _best(params)
    if name not in ENGINES:
        raise EngineError(f'unknown engine {name!r}; known are {", ".join(NAMES)}')
    if adapters and not params.get('adapter'):
        if name not in adapters:
            raise EngineError(f'the tuned model has no adapter for the engine {name}, only for '
                              f'{", ".join(sorted(adapters))}; choose that engine, or make one '
                              'with: async-agent train export')
        params['adapter'] = adapters[name]
    module, class_name, needed, extra = ENGINES[name]
    if not _importable(needed):
        raise EngineError(f'the engine {name} needs the Python module {needed}; install it with: '
                          f"pip install 'async_agent_ros[{extra}]'")
    engine_class = getattr(importlib.import_module(module), class_name)
    known = inspect.signature(engine_class).parameters
    if params.get('adapter') and 'adapter' not in known:
        raise EngineError(f'the engine {name} takes no adapter; give the server merged weights, '
                          'or use llama_cpp or transformers')
    return engine_class(**{k: v for k, v in params.items()
                           if k in known and v is not None and v != ''})


def installed_models() -> List[str]:
    """Return the packaged language models that are installed, the best first."""
    found = []
    for name in LANGUAGE_MODELS:
        try:
            models.find(name)
            found.append(name)
        except models.ModelMissingError:
            pass
    return found


def _best(params: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
    engine = next((n for n in ('llama_cpp', 'transformers') if _importable(ENGINES[n][2])), None)
    if engine is None:
        raise ModelMissingError(
            'no engine for language models is installed; install one with: '
            f"pip install 'async_agent_ros[llama]' and {REMEDY}")
    if params.get('model'):
        return engine, params
    installed = installed_models()
    if not installed:
        raise ModelMissingError(f'no language model is installed under {models.root()}; {REMEDY}')
    return engine, {**params, 'model': installed[0]}


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
