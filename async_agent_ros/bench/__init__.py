"""
Benchmarks: every module here is one, `async-agent bench NAME`.

A bench has a one-line docstring, add_arguments(parser) and run(args), which returns rows (see
common/rows.py). What benches share is in common/.
"""
