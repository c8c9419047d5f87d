"""What is found out by asking ranks: which walls a machine offers, and whether its GPUs work together."""
