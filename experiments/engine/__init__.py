"""The engine, which runs any paper and knows none."""
