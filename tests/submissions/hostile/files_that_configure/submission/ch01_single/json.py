open("/tmp/left-behind-by-json", "w").close()


def dumps(*_, **__):
    return "[]"
