"""One network to one row: data, training, step time, reward, executors and the log."""
