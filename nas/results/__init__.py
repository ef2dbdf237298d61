"""Work on an existing run: status, verification, winner, export."""
