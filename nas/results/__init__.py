"""What is done with a run that is there: status, verification, winner, export."""
