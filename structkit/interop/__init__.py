"""Adapters to the libraries around structkit, each imported when it is used."""

__all__: list[str] = []
