"""Laws that hold for every optimizer, over one table (table.py). A new rule adds a row there and no test code."""
