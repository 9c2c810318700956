"""Where images come from and where protected ones go. No Ray, no torch."""
