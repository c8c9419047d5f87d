"""The untrusted side: all that runs in the zygote, a supervisor or a rank. It decides nothing."""
