"""Data generators and small samples."""

__all__: list[str] = []
