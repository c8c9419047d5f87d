"""The wall between submitted code and the machine: how a zygote is started behind it."""
