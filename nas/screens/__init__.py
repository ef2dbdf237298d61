"""What commands print: tables, bars, numbers."""
