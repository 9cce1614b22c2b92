"""A web page and a REST endpoint over a run or an exported model.

    request --guard--> body --uploads--> pictures --decoding--> pixels --batcher--> probabilities

`app` puts it together, `routes` has a function for each address, `server` runs it. Importing this
package loads neither FastAPI nor PyTorch.
"""

from convgraft.serve.limits import Limits

__all__ = ["Limits"]
