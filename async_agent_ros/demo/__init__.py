"""The conversation of `make run`: a simulated person with something to say."""
