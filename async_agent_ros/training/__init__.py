"""A model that knows the protocol: synthetic conversations, fine-tuning, evaluation."""
