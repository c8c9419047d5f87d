"""The autograder: launches ranks, judges what they return, explains, records."""
