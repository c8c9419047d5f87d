def test_the_sum_of_any_list():
    pass
