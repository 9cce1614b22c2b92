"""Python imports this by itself where it stands in PYTHONPATH: so does all that tests start."""

from no_network import block

block()
