"""Whether the course agrees with itself: rules that read its files, and proofs that run them."""
