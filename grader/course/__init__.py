"""The course as data: catalog, stubs, release, and the checks that keep them in agreement."""
