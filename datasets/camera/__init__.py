"""The simulated dynamic vision sensor."""
