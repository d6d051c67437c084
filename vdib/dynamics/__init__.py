"""What neurons do, as pure functions: filters, firing, feedback, the loop over time."""
