"""Language-model engines. None of them is imported before it is asked for."""
