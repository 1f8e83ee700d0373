"""A language model for a bench: engine and prompt, as the dispatcher puts them together."""
import pathlib
from typing import Any, Optional, Tuple

from async_agent_ros import tuned_models
from async_agent_ros.bringup import config_file
from async_agent_ros.core.chatml import PromptFormat


def load_prompt(path: Optional[str] = None) -> Tuple[str, PromptFormat]:
    """Return persona and format of a prompt file; None or a bare name: one of the package's."""
    import yaml
    file = pathlib.Path(path or 'prompt.yaml')
    file = file if file.is_file() else config_file(file.name)
    value = yaml.safe_load(file.read_text()) or {}
    return value.get('persona', ''), PromptFormat.from_mapping(value.get('format'))


def load_model(engine: str, model: str, threads: int, prompt: Optional[str] = None,
               **params: Any) -> Tuple[Any, str, PromptFormat]:
    """
    Load a model, a tuned one too, by name or path; return engine, persona and format.

    `params`: more of what the engine takes.
    """
    from async_agent_ros.llm.factory import make_engine
    tuned = tuned_models.find(model)
    persona, form = load_prompt(prompt or (tuned.prompt_file if tuned else None))
    loaded = make_engine(engine, model=tuned.base if tuned else model, threads=threads,
                         adapters=tuned.adapters if tuned else None, call_ids=form.show_ids,
                         **params)
    loaded.load()
    return loaded, persona, form
