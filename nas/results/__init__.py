"""Work on a run that is there: status, verification, winner, export."""
