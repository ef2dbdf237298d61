"""The policy-gradient strategy: an LSTM controller trained with PPO."""
