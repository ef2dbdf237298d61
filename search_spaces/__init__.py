"""The description of a network, the spaces it is chosen from, and the torch module it builds."""
