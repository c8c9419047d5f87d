"""What judge, zygote, supervisor and ranks exchange: messages, descriptors, frames, journals. Both sides import it."""
