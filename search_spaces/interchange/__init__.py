"""Architectures and tensor names in the notations of timm, torchvision and google/automl."""
