"""Claims, which are numbers with intervals, and how they are judged."""
