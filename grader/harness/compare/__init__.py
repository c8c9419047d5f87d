"""What the ranks returned beside the reference: whether it agrees, and which mistake explains a difference."""
