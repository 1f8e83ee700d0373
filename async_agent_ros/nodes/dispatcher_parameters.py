"""The parameters of dispatcher."""
from typing import Any, Dict

from async_agent_ros.llm import factory
from async_agent_ros.llm.engine import PAUSE_PENALTY
from . import node_base

_OF_ENGINES = ('adapter', 'device', 'temperature', 'threads', 'context_tokens', 'base_url',
               'api_key_env', 'endpoint', 'grammar_field', 'prefix_folder', 'dtype', 'quantise',
               'compile', 'instances_per_pass', 'instances', 'gpu_layers', 'repack', 'constrain',
               'prefill_chunk', 'pause_penalty')
"""Handed on as they are: the factory leaves out what an engine does not have, and empty ones."""


def declare(node) -> None:
    """Declare all of them."""
    def add(name, default, description, **limits):
        node_base.declare(node, name, default, description, **limits)

    add('autostart', True, 'configure and activate at start')
    add('engine', 'auto', 'language-model engine', choices=factory.NAMES)
    add('model', '', "model: a packaged one's name, a path (also of a folder of `train "
        'learn`, which brings its adapter and its prompt), or the name that the server of '
        'an openai engine knows; empty: the best that is installed')
    add('adapter', '', 'adapter that was trained for the model: a GGUF file (llama_cpp) or '
        'a folder (transformers); empty: that of a tuned model, else none')
    add('device', '', "where the model runs: 'cpu', 'cuda', ...; empty: the engine decides")
    add('max_tokens', 256, 'longest answer, tokens', minimum=1, maximum=32768)
    add('temperature', 0.0, '0.0 always takes the likeliest token', minimum=0.0, maximum=2.0)
    add('threads', 2, 'CPU threads of the engine', minimum=1, maximum=256)
    add('context_tokens', 8192, 'longest prompt and answer together, tokens', minimum=256,
        maximum=1048576)
    add('prompt_file', '', 'YAML file of the prompt format; empty: that of a tuned model, else '
        'the one of the package')
    add('constrain', True, 'local engines: calls name tools that exist, and have arguments '
        'of the right names and types')
    add('pause_penalty', PAUSE_PENALTY, 'local engines: taken from the logit of `<pause>`, with '
        'which a model says that it waits for more words (kernel.speculation: stream); 0.0: as it '
        'was trained', minimum=0.0, maximum=10.0)
    add('prefill_chunk', 0, 'local engines: tokens that are read between two chances to stop; '
        '0: as the engine likes it', minimum=0, maximum=8192)
    add('instances', 4, 'llama_cpp engine: helpers and conversation that have a cache of their '
        'own', minimum=1, maximum=64)
    add('gpu_layers', 0, 'llama_cpp engine: layers on the GPU, -1 all; needs a wheel that was '
        'built for it', minimum=-1, maximum=1024)
    add('repack', False, 'llama_cpp engine: let it rearrange the weights at load')
    add('prefix_folder', '', 'llama_cpp engine: folder that keeps the prefilled head of '
        'the prompt between runs; empty keeps none')
    add('dtype', 'auto', 'transformers engine: type of the weights; auto: float32 on a CPU, '
        'bfloat16 on a GPU', choices=('auto', 'float32', 'bfloat16', 'float16'))
    add('quantise', '', "transformers engine: 'int8' on a CPU, '' leaves the weights alone",
        choices=('', 'int8'))
    add('compile', False, 'transformers engine: compile the feed-forward parts; the first tokens '
        'take long')
    add('instances_per_pass', 4, 'transformers engine: instances whose next tokens are read in '
        'one pass; 1: one by one, helpers pause while the person is answered', minimum=1,
        maximum=64)
    add('base_url', '', 'openai engine: address of the server')
    add('api_key_env', '', 'openai engine: environment variable that holds the key')
    add('endpoint', 'auto', 'openai engine: endpoint of the server; auto tries completions first',
        choices=('auto', 'completions', 'chat'))
    add('grammar_field', '', "openai engine: grammar of calls that is sent along, '' for none",
        choices=('', 'gbnf', 'lark'))
    add('script', '', 'scripted engine: YAML file of rules; empty: the demo of the package')
    add('ledger_timeout_s', 2.0, 'longest wait for the entries that a generation needs, '
        'seconds', minimum=0.05, maximum=60.0)


def of_engines(node) -> Dict[str, Any]:
    """Return what goes to the engine."""
    values = {name: node.get_parameter(name).value for name in _OF_ENGINES}
    values['prefill_chunk'] = values['prefill_chunk'] or None
    return values
