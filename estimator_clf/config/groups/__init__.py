"""The settings, one frozen dataclass per concern."""
