open("/tmp/left-behind-by-usercustomize", "w").close()
