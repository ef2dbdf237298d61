"""Every architecture that a search may choose, and how strategies see them."""
