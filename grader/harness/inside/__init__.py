"""The untrusted side: all code that runs in a zygote, a supervisor or a rank. It decides nothing."""
