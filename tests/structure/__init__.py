"""What holds for the package as a whole: which way imports point, which names exist, how large a file may be."""
