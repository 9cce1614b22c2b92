"""Networks that convgraft brings: CIFAR ResNets, the paper's 16-layer CNN, banks of fixed filters.

Plain `nn.Module`s that know nothing of sources, taps or plans, as those of torchvision do; and a
convolution written as the dense layer that it is.
"""
