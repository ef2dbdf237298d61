"""Work between convolutions, fused into few passes over memory."""
