"""Architectures and weights in the words of timm, torchvision and google/automl."""
