"""Own kernels of a training step between its convolutions: C++ on CPUs, Triton on CUDA."""
