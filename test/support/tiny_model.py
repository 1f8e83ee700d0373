"""A model of two small layers with a tokenizer of its own, made in a second."""
from async_agent_ros.training.synthesize import Recipe, write


def make(root, seed=0):
    """Write root/data and root/model; return root."""
    from tokenizers import decoders, models, pre_tokenizers, Tokenizer, trainers
    import torch
    import transformers
    torch.set_num_threads(1)
    write(root / 'data', Recipe(conversations=6, seed=1, stream=0.0, only=('command', 'parallel')))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        (root / 'data' / 'train.jsonl').read_text().splitlines(),
        trainers.BpeTrainer(vocab_size=2000, special_tokens=['<|im_start|>', '<|im_end|>'],
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token='<|im_end|>', bos_token='<|im_start|>')
    fast.save_pretrained(root / 'model')
    torch.manual_seed(seed)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8192,
        eos_token_id=fast.eos_token_id)).save_pretrained(root / 'model')
    return root
