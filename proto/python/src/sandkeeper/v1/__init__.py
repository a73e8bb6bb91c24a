"""The messages and stubs of the contract ``sandkeeper.v1``, one pair of modules for each of its files."""
