"""The command line: one file per command, each a short pipeline of steps.

Command files import the heavy parts inside their functions, so that `--help` answers at once.
"""
