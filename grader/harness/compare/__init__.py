"""Whether what the ranks returned agrees with the reference, and which mistake explains a difference."""
