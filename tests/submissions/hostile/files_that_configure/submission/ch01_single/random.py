def randrange(*_):
    return 0


def seed(*_):
    pass
