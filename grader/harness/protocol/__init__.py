"""What judge and rank say to each other: frames, plain values, tensors. Imported on both sides."""
