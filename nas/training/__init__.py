"""Full training of one architecture: stages, checkpoints, devices, evaluation, prediction."""
