"""What runs any paper and knows none."""
