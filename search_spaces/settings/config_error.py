"""The error of everything that a user wrote and can mend: settings, options, files."""


class ConfigError(ValueError):
    """Something that a user wrote is not right; the message says where, what and what to do."""
