"""What people did: recordings and reading times. One module a data set, one shape for all."""
