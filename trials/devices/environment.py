"""Variables of the environment that say how devices compute."""

FUSED_KERNELS = "NAS_FUSED_KERNELS"  # 0 forbids own kernels; 1 uses them on CUDA without a probe
