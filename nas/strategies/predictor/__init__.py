"""The predictor strategy: a Gaussian process of accuracy, and a local search for proposals."""
