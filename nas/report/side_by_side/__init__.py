"""Several runs on one page: best rewards at equal budgets, finalists, settings, winners and cost."""
