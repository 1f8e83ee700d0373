"""The agent as it runs, for people: a view that folds messages, and two faces in a terminal."""
