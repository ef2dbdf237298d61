"""Ways to run trials: functions of one shape, exchangeable for each other."""
