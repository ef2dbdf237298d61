"""Files for other projects: exported, imported, checked against their libraries."""
