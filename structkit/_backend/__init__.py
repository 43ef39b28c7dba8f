"""Internal building blocks; nothing here is public."""
