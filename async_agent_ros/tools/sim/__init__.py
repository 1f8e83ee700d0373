"""The simulated robot: its map, its world, and the tools that it offers."""
