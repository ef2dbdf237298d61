"""Own Triton kernels of a training step on CUDA: batch norm with what surrounds it, and the weight update."""
